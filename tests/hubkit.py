"""A hub of models on this machine, for the hub's own client: as much of the protocol as it uses."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMMIT = "5" * 40


@dataclass
class Hub:
    """``files`` of one repository by name; ``asked``: the names of those that were downloaded;
    ``requests``: the path of each request and what the client says of itself."""

    repository: str
    files: Mapping[str, bytes]
    asked: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def listing(self) -> list[dict[str, object]]:
        return [
            {"type": "file", "path": name, "size": len(content), "oid": git_blob(content)}
            | ({"lfs": large(content)} if is_large(name) else {})
            for name, content in self.files.items()
        ]


def is_large(name: str) -> bool:
    return name.endswith(".bin")


def large(content: bytes) -> dict[str, object]:
    return {"oid": sha256(content), "size": len(content), "pointerSize": 134}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(repository: str, files: Mapping[str, bytes]) -> Iterator[Hub]:
    hub = Hub(repository, files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = urlsplit(self.path).path
            hub.requests.append((path, self.headers["User-Agent"]))
            api = f"/api/models/{repository}"
            file = path.removeprefix(f"/{repository}/resolve/{COMMIT}/")
            if path.startswith(f"{api}/tree/"):
                self._send(json.dumps(hub.listing()).encode(), {}, body=body)
            elif path.startswith(api):
                about = {"id": repository, "sha": COMMIT, "siblings": []}
                self._send(json.dumps(about).encode(), {}, body=body)
            elif file in files:
                content = files[file]
                etag = sha256(content) if is_large(file) else git_blob(content)
                if body:
                    hub.asked.append(file)
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
                self._send(content, headers, body=body)
            else:
                self.send_error(404)

        def _send(self, content: bytes, headers: Mapping[str, str], *, body: bool) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
