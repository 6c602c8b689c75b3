"""What strangers, other sites and hostile uploads get from a server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from runkit import tree, until
from serverkit import Served
from speechkit.serving.web import request_body, uploads
from speechkit.serving.web.guard import Address
from speechkit.serving.web.request_errors import (
    RequestError,
    Stopping,
    UploadTooSlow,
)
from speechkit.serving.web.uploads import Form, FormReader, Uploads

ENGINE = ("--engine", "pocketsphinx")
TOKEN = "a-secret-of-many-letters"
TRANSCRIPTIONS = "v1/audio/transcriptions"
#: The beginning of a form, whose boundary is b.
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="../../a"\r\n\r\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that takes uploads of a megabyte."""
    folder = tmp_path_factory.mktemp("served")
    limits = ("--max-upload", 1, "--per-client", 2)
    with Served(folder / "data", *ENGINE, *limits, "--allowed-host", "Speech.example") as server:
        yield server


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a token, on all addresses of this machine."""
    folder = tmp_path_factory.mktemp("locked")
    token = {"SPEECHKIT_SERVE_TOKEN": TOKEN}
    with Served(folder / "data", *ENGINE, "--host", "0.0.0.0", environment=token) as server:
        yield server


def port(server: Served) -> int:
    return int(server.url.strip("/").rpartition(":")[2])


def raw(server: Served, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port(server)), timeout=10)
    connection.sendall(request)
    return connection


def whole_answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status and the error, from a server that then closes the connection."""
    with closing(connection):
        data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


def head(*lines: str) -> bytes:
    """The head of an upload, which the body is to follow."""
    begin = (f"POST /{TRANSCRIPTIONS} HTTP/1.1", "Host: localhost")
    form = "Content-Type: multipart/form-data; boundary=b"
    return "\r\n".join([*begin, form, *lines, "", ""]).encode()


# ------------------------------------------------------------------ other sites and strangers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),  # a tunnel's port
        ("127.0.0.1:1", 200),
        ("[::1]:80", 200),
        ("localhost.", 200),
        ("speech.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.2", 421),
        ("", 421),
        ("[", 421),
        ("a@localhost@evil.example", 421),
    ],
)
def test_a_name_that_was_rebound_is_no_name_of_this_server(
    served: Served, host: str, status: int
) -> None:
    assert served.client.get("health", headers={"Host": host}).status_code == status


def test_a_request_has_one_host(served: Served) -> None:
    for hosts in ("", "Host: localhost\r\nHost: localhost\r\n"):
        with raw(served, f"GET /health HTTP/1.0\r\n{hosts}\r\n".encode()) as connection:
            assert b" 400 " in connection.recv(100)


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), ("http://localhost:1", 403), ("", 403)],
)
def test_another_site_changes_nothing(served: Served, origin: str, status: int) -> None:
    headers = {"Origin": origin}
    assert served.client.post("api/jobs", headers=headers).status_code == status
    assert served.client.delete("api/jobs/x", headers=headers).status_code == status
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{served.url}api/live".replace("http", "ws"), additional_headers=headers)
    assert refused.value.response.status_code == status


def test_the_server_s_own_page_may(served: Served) -> None:
    own = {"Origin": served.url.strip("/")}
    assert served.client.delete("api/jobs/x", headers=own).status_code == 404
    behind_tls = {"Origin": "https://localhost", "Host": "localhost"}
    assert served.client.delete("api/jobs/x", headers=behind_tls).status_code == 404


@pytest.mark.parametrize("path", ["health", "nothing", "api/jobs"])
def test_every_answer_restricts_the_browser(served: Served, path: str) -> None:
    headers = served.client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'; media-src")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_a_token_opens_everything_and_nothing_is_open_without(locked: Served) -> None:
    url = f"http://127.0.0.1:{port(locked)}/"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url) as client:
        for path in ("", "health", "metrics", "v1/models", "api/jobs", "nothing", "?token=wrong"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert client.get("health", headers=bearer).status_code == 200
        for wrong in (f"Bearer {TOKEN}x", "Bearer x", TOKEN, f"Basic {TOKEN}", "Bearer ü".encode()):
            refused = client.get("health", headers={"Authorization": wrong})
            assert refused.status_code == 401
        assert client.get(f"api/jobs?token={TOKEN}").status_code == 401  # only the page's address
    with pytest.raises(InvalidStatus) as refused_socket:
        connect(f"{url}api/live".replace("http", "ws"))
    assert refused_socket.value.response.status_code == 401


def test_the_page_s_address_with_the_token_sets_a_cookie(locked: Served) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port(locked)}/") as client:
        answer = client.get(f"?token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "Path=/", "SameSite=strict"} <= {*cookie.split("; ")}
        assert client.get("health").status_code == 200
        client.cookies.set(f"speechkit-{port(locked)}", "0" * 64, domain="127.0.0.1")
        client.cookies.delete(f"speechkit-{port(locked)}", domain="127.0.0.1", path="/")
        assert client.get("health").status_code == 401


@pytest.mark.parametrize(
    ("host", "ip", "name", "is_own"),
    [
        ("0.0.0.0", "0.0.0.0", "192.168.1.7", True),
        ("0.0.0.0", "0.0.0.0", "evil.example", False),
        ("0.0.0.0", "0.0.0.0", socket.gethostname().lower(), True),
        ("::", "::", "fe80::1", True),
        ("speech.example", "192.0.2.1", "speech.example", True),
        ("speech.example", "192.0.2.1", "192.0.2.1", True),
        ("speech.example", "192.0.2.1", "localhost", False),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2", True),
    ],
)
def test_the_names_of_an_address(host: str, ip: str, name: str, is_own: bool) -> None:
    assert Address(host, ip, 8000).is_named(name) is is_own


# ------------------------------------------------------------------ uploads


def test_an_upload_that_is_announced_too_large_is_not_read(served: Served) -> None:
    connection = raw(served, head("Content-Length: 2000000000", "Expect: 100-continue"))
    status, error = whole_answer(connection)
    assert (status, error["message"]) == (
        413,
        "the upload is larger than 1 MB, the most that this server takes",
    )


def test_so_are_corrections(served: Served) -> None:
    lines = ("PUT /api/jobs/0/files/1/corrections HTTP/1.1", "Host: localhost")
    request = "\r\n".join([*lines, "Content-Length: 9000000", "", ""])
    status, error = whole_answer(raw(served, request.encode()))
    assert (status, error["message"][:31]) == (413, "the upload is larger than 8.388")


def test_chunks_are_counted(served: Served) -> None:
    connection = raw(served, head("Transfer-Encoding: chunked"))
    connection.sendall(b"%x\r\n%s\r\n" % (len(FILE), FILE))
    chunk = b"%x\r\n%s\r\n" % (50_000, bytes(50_000))
    for _ in range(19):
        connection.sendall(chunk)
    until(lambda: sizes(served.data) > 900_000)
    connection.sendall(chunk)
    status, _ = whole_answer(connection)
    assert status == 413
    until(lambda: not sizes(served.data), what="the upload stays on disk")


def sizes(data: Path) -> int:
    """Bytes of all uploads."""
    return sum(map(len, tree(data / "jobs").values()))


def test_nothing_stays_of_an_upload_that_breaks_off(served: Served) -> None:
    connection = raw(served, head("Content-Length: 500000") + FILE + bytes(100_000))
    until(lambda: sizes(served.data) > 99_000)
    assert [Path(name).name for name in tree(served.data / "jobs")] == ["0001"]
    connection.close()
    until(lambda: not list((served.data / "jobs").iterdir()), what="the upload stays on disk")


def test_one_client_has_so_many_uploads_at_once(served: Served) -> None:
    begun = [raw(served, head("Content-Length: 500000") + b"--b") for _ in range(2)]
    until(lambda: len(list((served.data / "jobs").iterdir())) == 2)
    status, error = whole_answer(raw(served, head("Content-Length: 500000") + b"--b"))
    assert (status, error["code"]) == (429, "rate_limit_exceeded")
    for connection in begun:
        connection.close()
    until(lambda: not list((served.data / "jobs").iterdir()))
    assert served.client.post(TRANSCRIPTIONS, files={"other": b"x"}).status_code == 400


class Body:
    """The pieces of a request's body, each after ``pause`` seconds; then nothing more comes."""

    def __init__(self, *pieces: bytes, pause: float = 0.0, end: bool = True) -> None:
        self._messages = [
            {"type": "http.request", "body": piece, "more_body": not end or number < len(pieces)}
            for number, piece in enumerate(pieces, start=1)
        ]
        self._pause = pause

    async def receive(self) -> Mapping[str, Any]:
        await asyncio.sleep(self._pause)
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)


def received(
    body: Body, place: Path, most: int = 1000, stopping: asyncio.Event | None = None
) -> Form:
    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    scope = {"type": "http", "headers": headers, "client": ("10.0.0.1", 1)}
    request = Request(scope, body.receive)  # type: ignore[arg-type]
    limits = Uploads(most, 1, stopping or asyncio.Event())
    return asyncio.run(limits.receive(request, lambda: place / "0001"))


def test_a_slow_client_is_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(request_body, "IDLE", 0.05)
    with pytest.raises(UploadTooSlow, match=r"no byte of the upload has come for 0\.05 s"):
        received(Body(b"--b", end=False), tmp_path)
    monkeypatch.setattr(request_body, "GRACE", 0.0)
    with pytest.raises(UploadTooSlow, match="slower than 1000 bytes a second"):
        received(Body(b"--b", b"\r\n", pause=0.02, end=False), tmp_path)


def test_an_upload_ends_with_the_server(tmp_path: Path) -> None:
    stopping = asyncio.Event()
    stopping.set()
    with pytest.raises(Stopping):
        received(Body(b"--b", pause=0.1, end=False), tmp_path, stopping=stopping)


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nb\xc3\xa4se\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="C:\\talks\\\xc3\xa4.mp3"\r\n'
    b"Content-Type: audio/mpeg\r\n\r\n\r\n--\r\n--bb\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="x[]"\r\n\r\n1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="x[]"\r\n\r\n\r\n--b--\r\n'
)


@given(st.lists(st.integers(0, len(FORM)), max_size=8))
def test_a_form_is_read_however_it_is_cut(cuts: list[int]) -> None:
    with TemporaryDirectory() as folder:
        reader = FormReader(b"b", lambda: Path(folder) / "0001")
        for start, end in pairwise([0, *sorted(cuts), len(FORM)]):
            reader.feed(FORM[start:end])
        form = reader.finish()
        assert form.fields == {"model": ["bäse"], "x[]": ["1", ""]}
        [file] = form.files
        assert (file.field, file.name, file.size) == ("file", "ä.mp3", 12)
        assert file.path.read_bytes() == b"\r\n--\r\n--bb\r\n"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (FORM[:-6], "the form ends too early"),
        (b"no form", "the form can't be read"),
        (b"--b\r\nX: y\r\n\r\n" + bytes(70_000), "the fields have more than 65536 bytes"),
        (b"".join([b"--b\r\nX: y\r\n\r\n\r\n"] * 101) + b"--b--", "at most 100 fields"),
    ],
)
def test_a_form_that_is_none(tmp_path: Path, body: bytes, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        received(Body(body), tmp_path, most=100_000)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", ".."),
        ("/", "audio"),
        ("a\u202egpm.exe\n\x1b[31m", "a gpm.exe  [31m"),
        ("x" * 1000, "x" * 255),
    ],
)
def test_the_name_of_an_upload_is_only_shown(name: str, shown: str) -> None:
    assert uploads.shown_name(name) == shown
