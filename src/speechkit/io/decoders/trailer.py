"""What lies behind the sound of a file: chunks, tags, or more sound."""

from __future__ import annotations

import os

from speechkit.io.decoders.headers import WAVES, ByteOrder, promised_bytes

MOST = 1 << 24  # bytes that are looked at; tags may hold pictures
LOOK = 1 << 20  # bytes that are read at once
SCRAP = 64  # bytes, of which nothing can be heard
NO_TRAILERS = (*WAVES, b"RIFX", b"data", b"SSND")  # but the beginning of another file
BYTE_ORDERS: tuple[ByteOrder, ...] = ("little", "big")


def is_trailer(descriptor: int, position: int) -> bool:
    """Whether nothing that could be sound lies from ``position`` on: chunks of WAV and AIFF, tags
    of MP3 and FLAC, zeros, or next to nothing."""
    size = os.fstat(descriptor).st_size - position
    if size <= SCRAP:
        return True
    if size > MOST:
        return False
    rest = _without_tags(os.pread(descriptor, size, position))
    is_scrap = len(rest) <= SCRAP or not rest.strip(b"\0")
    return is_scrap or any(_is_chunks(rest[pad:]) for pad in (0, 1))


def has_unstated_sound(descriptor: int) -> bool:
    """Whether more sound lies behind what the header of a WAV or an AIFF file calls its sound."""
    if os.pread(descriptor, 4, 0) not in WAVES:
        return False
    end = promised_bytes(descriptor)
    return end is not None and not is_trailer(descriptor, end)


def is_cut_short(descriptor: int) -> bool:
    """Whether the header promises more than the file holds."""
    promised = promised_bytes(descriptor)
    return promised is not None and promised > os.fstat(descriptor).st_size


def begins_again(descriptor: int, position: int) -> bool:
    """Whether another file of the same kind begins from ``position`` on."""
    head = os.pread(descriptor, 8, 0)
    sign = head[4:] if head[4:] == b"ftyp" else head[:4]
    size = os.fstat(descriptor).st_size
    return any(
        sign in os.pread(descriptor, LOOK + len(sign), at) for at in range(position, size, LOOK)
    )


def _without_tags(rest: bytes) -> bytes:
    """ID3v1 (128 bytes), ID3v2 (7 bits a byte of its size) and APEv2 (whose size leaves its header
    out), as often as one begins the rest."""
    while True:
        if rest.startswith(b"TAG"):
            length = 128
        elif rest.startswith(b"ID3"):
            length = 10 + sum(byte << 7 * (3 - n) for n, byte in enumerate(rest[6:10]))
        elif rest.startswith(b"APETAGEX"):
            length = 32 + int.from_bytes(rest[12:16], "little")
        else:
            return rest
        rest = rest[length:]


def _is_chunks(rest: bytes) -> bool:
    """Whether it consists of chunks with names that are none of another file's beginning."""
    for order in BYTE_ORDERS:
        at = 0
        while at + 8 <= len(rest):
            name = rest[at : at + 4]
            if name in NO_TRAILERS or not name.isascii():
                break
            length = int.from_bytes(rest[at + 4 : at + 8], order)
            at += 8 + length + length % 2
        if len(rest) - 8 < at <= len(rest) + 1:
            return True
    return False
