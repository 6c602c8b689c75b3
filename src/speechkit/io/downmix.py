"""Decoded blocks of any channels and any rate to one channel at one rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from speechkit.errors import AudioInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of the energy that the mix of as many unrelated channels has, which is half of two channels' own:
# channels whose mix has less cancel each other. For two that is a tenth of their energy.
CANCELLED = 0.2
CANCELLED_SHARE = 0.05
SAMPLED = 1000  # frames of a second, about, that tell how loud its channels are


class Mix:
    """Blocks of any channels to one: ``channel``, from 1, or all by their mean."""

    def __init__(self, channel: int | None, rate: int) -> None:
        self.channel = channel
        self._second = rate
        self._step = 1 + rate // SAMPLED
        self._cancelled = 0.0
        self._of_each = np.zeros(0)

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.channel is not None:
            return np.ascontiguousarray(block[:, min(self.channel, block.shape[1]) - 1])
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        # The mean, thirty times as fast as numpy's.
        mixed = block @ np.full(block.shape[1], 1 / block.shape[1], np.float32)
        for start in range(0, len(block), self._second):
            part = slice(start, start + self._second, self._step)
            energies = self._step * np.square(block[part]).sum(axis=0)
            of_mix = self._step * float(np.square(mixed[part]).sum())
            of_each = float(energies.sum())
            if of_mix < CANCELLED * of_each / len(energies) ** 2:
                self._cancelled += of_each
            more = max(0, len(energies) - len(self._of_each))
            self._of_each = np.pad(self._of_each, (0, more))
            self._of_each[: len(energies)] += energies
        return mixed

    @property
    def cancels(self) -> bool:
        """Whether more than `CANCELLED_SHARE` of the energy lies in seconds in which they do."""
        return self._cancelled > CANCELLED_SHARE * float(self._of_each.sum())

    @property
    def loudest(self) -> int:
        return 1 + int(np.argmax(self._of_each))


def finite(
    blocks: Iterable[NDArray[np.float32]], path: str, start: int, rate: int
) -> Iterator[NDArray[np.float32]]:
    """The blocks, of which the first begins at frame ``start``. Raises `AudioInvalid`."""
    for block in blocks:
        is_finite = np.isfinite(block)
        if not is_finite.all():
            second = (start + int(np.argmin(is_finite))) / rate
            raise AudioInvalid(f"{path}: NaN or infinite samples, the first at {second:.2f} s")
        start += len(block)
        yield block


def resampled(
    blocks: Iterable[NDArray[np.float32]], rate: int, wanted: int
) -> Iterator[NDArray[np.float32]]:
    """The blocks at another rate in Hz."""
    if rate == wanted:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
    empty = True
    for block in blocks:
        empty = False
        yield stream.resample_chunk(block)
    if not empty:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
