"""Bytes of PCM to blocks of frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bytes of a sample, little-endian: the formats of raw PCM, and those of WAV besides.
WIDTHS = {"u8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 4, "f64": 8}


def frames(
    pieces: Iterable[bytes], sample_format: str, channels: int, name: str, remarks: deque[str]
) -> Iterator[NDArray[np.float32]]:
    """Blocks ``[frames, channels]`` in -1..1; what belongs to no whole frame is remarked on."""
    size = WIDTHS[sample_format] * channels
    left = b""
    for piece in pieces:
        read = left + piece
        whole = len(read) // size * size
        left = read[whole:]
        if whole:
            yield _samples(read[:whole], sample_format).reshape(-1, channels)
    if left:
        remarks.append(
            f"{name}: ends within a frame of {size} bytes, of which the last {len(left)} can't be "
            "heard"
        )


def _samples(read: bytes, sample_format: str) -> NDArray[np.float32]:
    """As libsndfile scales them."""
    match sample_format:
        case "u8":
            unsigned = np.frombuffer(read, np.uint8).astype(np.float32)
            return (unsigned - np.float32(1 << 7)) / np.float32(1 << 7)
        case "s16":
            return np.frombuffer(read, "<i2").astype(np.float32) / np.float32(1 << 15)
        case "s24":
            wide = np.zeros((len(read) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(read, np.uint8).reshape(-1, 3)
            return _samples(wide.tobytes(), "s32")
        case "s32":
            return np.frombuffer(read, "<i4").astype(np.float32) / np.float32(1 << 31)
        case "f32":
            return np.frombuffer(read, "<f4").astype(np.float32)
        case _:
            return np.frombuffer(read, "<f8").astype(np.float32)
