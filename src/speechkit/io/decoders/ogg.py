"""Detects Ogg files with several streams, multiplexed or chained (RFC 3533)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from speechkit.io.decoders.trailing_data import is_trailer

HEADER = 27  # bytes of a page, before the lengths of its segments
BEGINS = 0x02  # flag of the first page of a stream


def is_chained(descriptor: int) -> bool:
    """Whether the file holds anything but the pages of its first streams."""
    begun = False
    for begins in _pages(descriptor):
        if begins is None or (begun and begins):
            return True
        begun = begun or not begins
    return False


def has_several(descriptor: int) -> bool:
    """Whether two streams begin at once."""
    return list(islice(_pages(descriptor), 2)) == [True, True]


def _pages(descriptor: int) -> Iterator[bool | None]:
    """For each page, whether a stream begins with it; None at the end for an incomplete page."""
    at, size = 0, os.fstat(descriptor).st_size
    while at < size:
        page = os.pread(descriptor, HEADER + 255, at)
        if len(page) < HEADER or page[:4] != b"OggS":
            if not is_trailer(descriptor, at):
                yield None
            return
        yield bool(page[5] & BEGINS)
        segments = page[26]
        at += HEADER + segments + sum(page[HEADER : HEADER + segments])
    if at > size:
        yield None
