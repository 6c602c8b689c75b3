"""Uploads: forms with files, written to disk while they come in, and never beyond the limits."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from speechkit.serving.web import request_body
from speechkit.serving.web.request_errors import DiskFull, RequestError, TooManyRequests

if TYPE_CHECKING:
    from starlette.requests import Request

MOST_FILES = 1000  # of one request
MOST_FIELDS = 100
FIELD_BYTES = 1 << 16  # of all fields together
NAME_LENGTH = 255  # characters of a file's name
RETRY_AFTER = 10  # seconds
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a form. ``field``: the form's field; ``name``: the user's, only to be shown;
    ``size`` in bytes."""

    field: str
    name: str
    path: Path
    size: int


@dataclass(slots=True)
class Form:
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)

    def text(self, name: str) -> str | None:
        """The last value of a field; None if it is missing or empty."""
        values = [value for value in self.fields.get(name, ()) if value]
        return values[-1] if values else None

    def texts(self, name: str) -> list[str]:
        return self.fields.get(name, [])


class Uploads:
    """What every upload has to keep to. ``most``: bytes of a body; ``per_client``: uploads of one
    address at once; ``stopping``: set when the server ends."""

    def __init__(self, most: int, per_client: int, stopping: asyncio.Event) -> None:
        self._most = most
        self._per_client = per_client
        self._stopping = stopping
        self._running: Counter[str] = Counter()

    async def receive(self, request: Request, place: Callable[[], Path]) -> Form:
        """The form of a request, each of its files at a new path from ``place``.

        What is on disk when it raises is the caller's to remove. Raises `RequestError` and
        ClientDisconnect.
        """
        with self._counted(client_of(request)):
            reader = FormReader(_boundary(request.headers.get("content-type", "")), place)
            try:
                async for chunk in request_body.pieces(request, self._most, self._stopping):
                    await asyncio.to_thread(reader.feed, chunk)
                return reader.finish()
            finally:
                reader.close()

    @contextmanager
    def _counted(self, client: str) -> Iterator[None]:
        if self._running[client] >= self._per_client:
            raise TooManyRequests(
                f"{self._per_client} uploads from this address are under way; try again later",
                retry_after=RETRY_AFTER,
            )
        self._running[client] += 1
        try:
            yield
        finally:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]


def client_of(request: Request) -> str:
    """The address of a client, by which its jobs and uploads are counted."""
    return request.client.host if request.client else ""


def _boundary(content_type: str) -> bytes:
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not parameters.get(b"boundary"):
        raise RequestError("send a form with the file: Content-Type: multipart/form-data")
    return parameters[b"boundary"]


class FormReader:
    """Reads a form piece by piece, files to disk and fields to memory."""

    def __init__(self, boundary: bytes, place: Callable[[], Path]) -> None:
        self._place = place
        self._form = Form()
        self._is_whole = False
        self._field_bytes = self._fields = 0
        self._header_name, self._header_value, self._disposition = b"", b"", b""
        self._field, self._value = "", bytearray()
        self._file: IO[bytes] | None = None
        self._file_name: str | None = None
        with _as_request_errors():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )

    def feed(self, data: bytes) -> None:
        with _as_request_errors():
            self._parser.write(data)

    def finish(self) -> Form:
        if not self._is_whole:
            raise RequestError("the form ends too early")
        return self._form

    def close(self) -> None:
        if self._file:
            with suppress(OSError):  # the file is of no use any more
                self._file.close()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name, self._header_value = b"", b""

    def _on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        self._disposition = b""
        self._field = _decoded(parameters.get(b"name", b""))
        self._value.clear()
        name = parameters.get(b"filename")
        self._file_name = None if name is None else shown_name(_decoded(name))
        if self._file_name is not None:
            if len(self._form.files) >= MOST_FILES:
                raise RequestError(f"a request takes at most {MOST_FILES} files", param=self._field)
            self._file = open(self._place(), "xb")  # noqa: SIM115

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file:
            self._file.write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > FIELD_BYTES:
            raise RequestError(f"the fields have more than {FIELD_BYTES} bytes", param=self._field)
        self._value += data[start:end]

    def _on_part_end(self) -> None:
        if self._file and self._file_name is not None:
            path, size = Path(self._file.name), self._file.tell()
            self._file.close()
            self._file = None
            self._form.files.append(UploadedFile(self._field, self._file_name, path, size))
        else:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise RequestError(f"a request takes at most {MOST_FIELDS} fields")
            self._form.fields.setdefault(self._field, []).append(_decoded(self._value))

    def _on_end(self) -> None:
        self._is_whole = True


@contextmanager
def _as_request_errors() -> Iterator[None]:
    try:
        yield
    except FormParserError as e:
        raise RequestError(f"the form can't be read: {e}") from e
    except OSError as e:
        if e.errno in NO_ROOM:
            raise DiskFull("the server's disk is full; the upload was not kept") from e
        raise


def _decoded(text: bytes | bytearray) -> str:
    return text.decode("utf-8", "replace")


def shown_name(name: str) -> str:
    """The last part of a file's name, on one line. It is only shown; no path is made of it."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return "".join(char if char.isprintable() else " " for char in last)[:NAME_LENGTH] or "audio"
