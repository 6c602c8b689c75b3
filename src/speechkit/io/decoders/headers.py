"""The end of a file, or of its sound, as stated by the header."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

ByteOrder = Literal["little", "big"]

WAVES = (b"RIFF", b"RF64", b"FORM")  # chunks of sound, and others behind it
UNKNOWN = (0, 0xFFFFFFFF)  # sizes in a header that was written before the sound
MOST = 1 << 63  # bytes; from here on a size is a negative number or all ones, and says nothing
MOST_CHUNKS = 4096  # that are examined
W64_SIZE = 16
VOC_HEADER = 20  # offset of the header's size
#: ASF's object of the file's properties, and the offset of the file's size in it.
ASF_PROPERTIES, ASF_SIZE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"), 40
ASF_HEADER = 1 << 16  # bytes that are searched for it


class _Header:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def bytes(self, at: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, at)

    def number(self, at: int, count: int, order: ByteOrder) -> int:
        return int.from_bytes(self.bytes(at, count), order)


def stated_end(descriptor: int) -> int | None:
    """The byte at which the file ends by its header, or its sound (`WAVES`, CAF and AU).

    None where the header doesn't state it.
    """
    header = _Header(descriptor)
    stated = _STATED.get(header.bytes(0, 4))
    end = stated(header) if stated else None
    return end if end and end < MOST else None


def is_cut_short(descriptor: int) -> bool:
    """Whether the header states more than the file holds."""
    end = stated_end(descriptor)
    return end is not None and end > os.fstat(descriptor).st_size


def _riff(header: _Header) -> int | None:
    """The sound of a WAV file; all of an AVI, which may consist of several."""
    if header.bytes(8, 4) != b"AVI ":
        return _chunk(header, b"data", "little")
    end = 0
    for _ in range(MOST_CHUNKS):
        at = end + end % 2
        head = header.bytes(at, 12)
        if end and (head[:4] != b"RIFF" or head[8:] != b"AVIX"):
            break
        size = int.from_bytes(head[4:8], "little")
        if size in UNKNOWN:
            return None
        end = at + 8 + size
    return end


def _form(header: _Header) -> int | None:
    return _chunk(header, b"SSND", "big")


def _rf64(header: _Header) -> int | None:
    """RF64 states the length of its sound ahead of all chunks (EBU Tech 3306)."""
    length = header.number(28, 8, "little") if header.bytes(12, 4) == b"ds64" else 0
    return _chunk(header, b"data", "little", length)


def _chunk(header: _Header, name: bytes, order: ByteOrder, elsewhere: int = 0) -> int | None:
    """The end of the first chunk of that name, whose size may be stated ``elsewhere``."""
    at = 12
    for _ in range(MOST_CHUNKS):
        head = header.bytes(at, 8)
        if len(head) < 8:
            return None
        size = int.from_bytes(head[4:], order)
        if head[:4] == name:
            known = elsewhere if size in UNKNOWN else size
            return at + 8 + known if known else None
        at += 8 + size + size % 2
    return None


def _w64(header: _Header) -> int | None:
    return header.number(W64_SIZE, 8, "little")


def _caf(header: _Header) -> int | None:
    at = 8
    for _ in range(MOST_CHUNKS):
        head = header.bytes(at, 12)
        if len(head) < 12:
            return None
        size = int.from_bytes(head[4:], "big")
        if head[:4] == b"data":
            return at + 12 + size if 0 < size < MOST else None
        at += 12 + size
        if at >= header.size:
            return None
    return None


def _au(header: _Header) -> int | None:
    size = header.number(8, 4, "big")
    return None if size in UNKNOWN else header.number(4, 4, "big") + size


def _voc(header: _Header) -> int | None:
    """Blocks of a kind, which is 0 for the last, and a size of three bytes."""
    at = header.number(VOC_HEADER, 2, "little")
    for _ in range(MOST_CHUNKS):
        head = header.bytes(at, 4)
        if head[:1] in (b"", b"\0"):
            return at
        at += 4 + int.from_bytes(head[1:], "little")
    return None


def _asf(header: _Header) -> int | None:
    head = header.bytes(0, ASF_HEADER)
    at = head.find(ASF_PROPERTIES)
    return None if at < 0 else int.from_bytes(head[at + ASF_SIZE :][:8], "little")


def _matroska(header: _Header) -> int | None:
    """The end of the segment that follows the header; a live one has a size of ones alone."""
    end = _element_end(header, 0)
    return _element_end(header, end) if end else None


def _element_end(header: _Header, at: int) -> int | None:
    """The end of an element of EBML with an ID of four bytes (RFC 8794, section 4)."""
    size = header.bytes(at + 4, 8)
    if len(size) < 8 or not size[0]:
        return None
    width = 9 - size[0].bit_length()
    ones = (1 << 7 * width) - 1
    length = int.from_bytes(size[:width], "big") & ones
    return None if length == ones else at + 4 + width + length


_STATED: dict[bytes, Callable[[_Header], int | None]] = {
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
