"""Checked blocks at another sample rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from speechkit.errors import AudioInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray


def require_finite(
    blocks: Iterable[NDArray[np.float32]], path: str, start: int, rate: int
) -> Iterator[NDArray[np.float32]]:
    """The blocks, the first of which begins at frame ``start``.

    Raise `AudioInvalid` for samples that are NaN or infinite, after those before them.
    """
    for block in blocks:
        is_finite = np.isfinite(block)
        if not is_finite.all():
            good = int(np.argmin(is_finite))
            yield block[:good]
            second = (start + good) / rate
            raise AudioInvalid(f"{path}: NaN or infinite samples, the first at {second:.2f} s")
        start += len(block)
        yield block


def resampled(
    blocks: Iterable[NDArray[np.float32]], rate: int, output_rate: int
) -> Iterator[NDArray[np.float32]]:
    """The blocks at another rate in Hz."""
    if rate == output_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, output_rate, 1, dtype="float32")
    is_empty = True
    for block in blocks:
        is_empty = False
        yield stream.resample_chunk(block)
    if not is_empty:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
