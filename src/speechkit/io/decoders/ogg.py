"""Whether an Ogg file is several, one behind the other (RFC 3533, section 6)."""

from __future__ import annotations

import os

HEADER = 27  # bytes of a page, before the lengths of its segments
BEGINS = 0x02  # flag of the first page of a stream


def is_chained(descriptor: int) -> bool:
    """Whether a stream begins behind pages of another, or something else does."""
    at, size = 0, os.fstat(descriptor).st_size
    begun = False
    while at < size:
        page = os.pread(descriptor, HEADER + 255, at)
        if len(page) < HEADER or page[:4] != b"OggS":
            return True
        begins = bool(page[5] & BEGINS)
        if begun and begins:
            return True
        begun = begun or not begins
        segments = page[26]
        at += HEADER + segments + sum(page[HEADER : HEADER + segments])
    return False
