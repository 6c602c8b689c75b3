"""The last frame of a FLAC file, by its header alone (RFC 9639, section 9.1)."""

from __future__ import annotations

import os

MOST = 1 << 16  # bytes at the file's end that hold a frame's header, where its size isn't stated
STREAMINFO_END = 42
BLOCK, LARGEST = slice(8, 10), slice(15, 18)  # samples in a block, bytes of the largest frame
TAG = 128  # bytes of ID3v1, which may follow
SYNCS = b"\xff\xf8", b"\xff\xf9"  # frames are numbered; their samples are


def ends_with_sample(descriptor: int, number: int) -> bool:
    """Whether the last frame ends with the sample of this number, counted from 1."""
    info = os.pread(descriptor, STREAMINFO_END, 0)
    if info[:4] != b"fLaC" or info[4] & 0x7F != 0:
        return False
    block, largest = (int.from_bytes(info[place], "big") for place in (BLOCK, LARGEST))
    size = os.fstat(descriptor).st_size
    start = max(0, size - (largest or MOST) - TAG)
    tail = os.pread(descriptor, size - start, start)
    if tail.find(b"fLaC\0", 1) >= 0:
        return False
    for sync in SYNCS:
        at = len(tail)
        while (at := tail.rfind(sync, 0, at)) >= 0:
            if _end(tail[at : at + 16], block) == number:
                return True
    return False


def _end(header: bytes, block: int) -> int | None:
    """The number of samples up to the end of a frame; None where this is no frame's header."""
    if len(header) < 16 or header[3] & 1:
        return None
    ones = 8 - (header[4] ^ 0xFF).bit_length()  # the number is coded like a letter in UTF-8
    length = max(1, ones)
    if ones in (1, 8):
        return None
    number = header[4] & (0x7F >> ones)
    for byte in header[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    code = header[2] >> 4
    if code == 0:
        return None
    if code == 1:
        samples = 192
    elif code <= 5:
        samples = 576 << code - 2
    elif code <= 7:
        samples = 1 + int.from_bytes(header[4 + length : length + code - 1], "big")
    else:
        samples = 256 << code - 8
    first = number if header[1] & 1 else number * block
    return first + samples
