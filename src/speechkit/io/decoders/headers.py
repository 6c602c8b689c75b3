"""Where a file, or the sound in it, ends as its header has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

ByteOrder = Literal["little", "big"]

WAVES = (b"RIFF", b"RF64", b"FORM")  # chunks of sound, and others behind it
UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # of a header that was written before its sound
UNKNOWN_SIZE = 0xFFFFFFFF_FFFFFFFF
#: ASF's object of the file's properties, and where in it the file's size stands.
ASF_PROPERTIES, ASF_SIZE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"), 40
ASF_HEADER = 1 << 16  # bytes in which it is looked for


class _Header:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def bytes(self, at: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, at)

    def number(self, at: int, count: int, order: ByteOrder) -> int:
        return int.from_bytes(self.bytes(at, count), order)


def promised_bytes(descriptor: int) -> int | None:
    """Where what a header counts ends, in bytes; None where it counts nothing."""
    header = _Header(descriptor)
    promise = _PROMISES.get(header.bytes(0, 4))
    return promise(header) if promise else None


def _riff(header: _Header) -> int | None:
    """The sound of a WAV file; all of an AVI, which may consist of several."""
    if header.bytes(8, 4) != b"AVI ":
        return _chunk(header, b"data", "little")
    at = 0
    while at == 0 or (header.bytes(at, 4) == b"RIFF" and header.bytes(at + 8, 4) == b"AVIX"):
        length = header.number(at + 4, 4, "little")
        if length in UNKNOWN_SIZES:
            return None
        at += 8 + length + length % 2
    return at


def _form(header: _Header) -> int | None:
    return _chunk(header, b"SSND", "big")


def _rf64(header: _Header) -> int | None:
    """RF64 states the length of its sound ahead of all chunks (EBU Tech 3306)."""
    length = header.number(28, 8, "little") if header.bytes(12, 4) == b"ds64" else 0
    return _chunk(header, b"data", "little", length)


def _chunk(header: _Header, name: bytes, order: ByteOrder, length: int = 0) -> int | None:
    """The end of the first chunk of that name, whose ``length`` may stand elsewhere."""
    at = 12
    while at + 8 <= header.size:
        own = header.number(at + 4, 4, order)
        if header.bytes(at, 4) == name:
            known = own if own not in UNKNOWN_SIZES else length
            return at + 8 + known if known else None
        at += 8 + own + own % 2
    return None


def _w64(header: _Header) -> int | None:
    return header.number(16, 8, "little") or None


def _caf(header: _Header) -> int | None:
    at = 8
    while at + 12 <= header.size:
        length = header.number(at + 4, 8, "big")
        if header.bytes(at, 4) == b"data":
            return None if length in (0, UNKNOWN_SIZE) else at + 12 + length
        at += 12 + length
    return None


def _au(header: _Header) -> int | None:
    length = header.number(8, 4, "big")
    return None if length in UNKNOWN_SIZES else header.number(4, 4, "big") + length


def _voc(header: _Header) -> int | None:
    """Blocks of a kind, which is 0 for the last, and a length of three bytes."""
    at = header.number(20, 2, "little")
    while at < header.size and header.bytes(at, 1) != b"\0":
        at += 4 + header.number(at + 1, 3, "little")
    return at


def _asf(header: _Header) -> int | None:
    head = header.bytes(0, ASF_HEADER)
    at = head.find(ASF_PROPERTIES)
    return None if at < 0 else int.from_bytes(head[at + ASF_SIZE :][:8], "little") or None


def _matroska(header: _Header) -> int | None:
    """The end of the segment that follows the header; a live one has a size of ones alone."""
    end: int | None = 0
    for _ in range(2):
        end = None if end is None else _element_end(header, end)
    return end


def _element_end(header: _Header, at: int) -> int | None:
    """Of an element of EBML with an ID of four bytes (RFC 8794, section 4)."""
    size = header.bytes(at + 4, 8)
    if len(size) < 8 or not size[0]:
        return None
    width = 9 - size[0].bit_length()
    most = (1 << 7 * width) - 1
    length = int.from_bytes(size[:width], "big") & most
    return None if length == most else at + 4 + width + length


_PROMISES: dict[bytes, Callable[[_Header], int | None]] = {
    b"RIFF": _riff,
    b"RF64": _rf64,
    b"FORM": _form,
    b"riff": _w64,
    b"caff": _caf,
    b".snd": _au,
    b"Crea": _voc,
    b"0&\xb2u": _asf,
    b"\x1aE\xdf\xa3": _matroska,
}
