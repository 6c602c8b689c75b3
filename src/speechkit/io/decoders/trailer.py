"""What a file holds beside its sound: chunks and tags behind it, and the size of it in a header."""

from __future__ import annotations

import os
from typing import Literal

MOST = 1 << 24  # bytes that are looked at; tags may hold pictures
SCRAP = 64  # bytes, of which nothing can be heard
UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # of a header that was written before its sound
SOUND = {b"RIFF": b"data", b"FORM": b"SSND"}
BYTE_ORDER: dict[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"FORM": "big"}


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


def promised_bytes(descriptor: int) -> int | None:
    """Where the sound of a WAV or an AIFF file ends as its header has it; None where it has not."""
    size = os.fstat(descriptor).st_size
    kind = os.pread(descriptor, 4, 0)
    if kind not in SOUND:
        return None
    at = 12
    while at + 8 <= size:
        name = os.pread(descriptor, 4, at)
        length = int.from_bytes(os.pread(descriptor, 4, at + 4), BYTE_ORDER[kind])
        if name == SOUND[kind]:
            return None if length in UNKNOWN_SIZES else at + 8 + length
        at += 8 + length + length % 2
    return None


def has_unstated_sound(descriptor: int) -> bool:
    """Whether more sound lies behind what the header of a WAV or an AIFF file calls its sound."""
    end = promised_bytes(descriptor)
    return end is not None and not is_trailer(descriptor, end)


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
    for order in BYTE_ORDER.values():
        at = 0
        while at + 8 <= len(rest):
            name = rest[at : at + 4]
            if name in (*SOUND, *SOUND.values(), b"RF64", b"RIFX") or not name.isascii():
                break
            length = int.from_bytes(rest[at + 4 : at + 8], order)
            at += 8 + length + length % 2
        if len(rest) - 8 < at <= len(rest) + 1:
            return True
    return False
