"""Rows of one second each, with some of the sound before them, and their spectra."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAD = 0.06  # seconds of sound at least that a row has before its second
TOGETHER = 1 << 17  # samples of rows that are worked on at once: about what a cache holds


@dataclass(frozen=True, slots=True)
class Rows:
    """Some seconds of sound: ``samples`` [channels, seconds, samples of a row] of all channels.

    ``seconds`` [channels, seconds, samples of a second] is the part without the lead; of a rest it
    is shorter, and zeros follow it in ``samples``.
    """

    samples: NDArray[np.float32]
    seconds: NDArray[np.float32]
    is_rest: bool = False


class Framing:
    """Cuts blocks [channels, samples] into `Rows`. Zeros stand before the beginning."""

    def __init__(self, rate: int, channels: int) -> None:
        self.rate = rate
        self.size = fast_size(round((1 + LEAD) * rate))
        self.lead = self.size - rate
        self._together = max(1, TOGETHER // (channels * self.size))
        self._held = np.zeros((channels, self.lead), np.float32)

    def rows(self, block: NDArray[np.float32]) -> Iterator[Rows]:
        sound = np.concatenate((self._held, block), axis=1)
        count = (sound.shape[1] - self.lead) // self.rate
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(sound, self.size, axis=1)
            rows = windows[:, :: self.rate][:, :count]
            for first in range(0, count, self._together):
                some = rows[:, first : first + self._together]
                yield Rows(some, some[..., self.lead :])
        self._held = sound[:, count * self.rate :].copy()

    def rest(self) -> Rows | None:
        """The last row, which is shorter than a second; None if nothing is left."""
        left = self._held.shape[1] - self.lead
        if not left:
            return None
        samples = np.pad(self._held, ((0, 0), (0, self.size - self._held.shape[1])))[:, None]
        return Rows(samples, samples[..., self.lead : self.lead + left], is_rest=True)


@functools.lru_cache(maxsize=8)
def fast_size(least: int) -> int:
    """The next number without prime factors above 5, of which Fourier transforms are fast."""
    size = least
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1
