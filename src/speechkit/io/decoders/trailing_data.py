"""The end of a file after its sound: chunks, tags, or more sound."""

from __future__ import annotations

import os
import re

from speechkit.io.decoders.headers import WAVES, ByteOrder, stated_end

MOST = 1 << 24  # bytes that are examined; tags may hold pictures
CHUNK = 1 << 20  # bytes that are read at once
FAR = 1 << 26  # bytes that are searched for another file
LONGEST = 32  # bytes of a file's beginning that tell its kind
#: Beginnings of files of which ffmpeg reads the first where several are joined.
BEGINNINGS = tuple(
    re.compile(sign, re.DOTALL)
    for sign in (
        rb"\0\0\0.ftyp",
        rb"RIFF....(?:AVI |WAVE)",
        rb"\x1aE\xdf\xa3.{1,8}B\x86\x81\x01",
        re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),  # ASF
        re.escape(b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")),  # W64
        rb"caff\0\x01\0\0",
        rb"Creative Voice File\x1a",
        rb"FLV\x01.\0\0\0\t",
        rb"TTA1[\x01-\x03]\0",
    )
)
SCRAP = 64  # bytes, of which nothing can be heard
NO_TRAILERS = (*WAVES, b"RIFX", b"data", b"SSND")  # but the beginning of another file
BYTE_ORDERS: tuple[ByteOrder, ...] = ("little", "big")


def is_trailer(descriptor: int, position: int) -> bool:
    """Whether nothing from ``position`` on could be sound.

    It may be chunks of WAV and AIFF, tags of MP3 and FLAC, zeros, or next to nothing.
    """
    size = os.fstat(descriptor).st_size - position
    if size <= SCRAP:
        return True
    if size > MOST:
        return False
    rest = _without_tags(os.pread(descriptor, size, position))
    is_scrap = len(rest) <= SCRAP or not rest.strip(b"\0")
    return is_scrap or any(_is_chunks(rest[pad:]) for pad in (0, 1))


def has_unstated_sound(descriptor: int) -> bool:
    """Whether more sound follows the sound stated by the header of a WAV or an AIFF file."""
    if os.pread(descriptor, 4, 0) not in WAVES:
        return False
    end = stated_end(descriptor)
    return end is not None and not is_trailer(descriptor, end)


def begins_again(descriptor: int, position: int) -> bool:
    """Whether another file of this kind begins at ``position``, or soon after it."""
    head = os.pread(descriptor, LONGEST, 0)
    sign = next((sign for sign in BEGINNINGS if sign.match(head)), None)
    end = min(os.fstat(descriptor).st_size, position + FAR)
    return sign is not None and any(
        sign.search(os.pread(descriptor, CHUNK + LONGEST, at)) for at in range(position, end, CHUNK)
    )


def _without_tags(rest: bytes) -> bytes:
    """The rest without leading tags.

    Tags are ID3v1 (128 bytes), ID3v2 (its size has 7 bits a byte) and APEv2 (its size excludes the
    header).
    """
    at = 0
    while True:
        if rest.startswith(b"TAG", at):
            at += 128
        elif rest.startswith(b"ID3", at):
            size = rest[at + 6 : at + 10]
            at += 10 + sum(byte << 7 * (3 - n) for n, byte in enumerate(size))
        elif rest.startswith(b"APETAGEX", at):
            at += 32 + int.from_bytes(rest[at + 12 : at + 16], "little")
        else:
            return rest[at:]


def _is_chunks(rest: bytes) -> bool:
    """Whether the rest consists of chunks whose names don't begin another file."""
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
