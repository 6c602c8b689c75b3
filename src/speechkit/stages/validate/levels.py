"""Levels of the waveform: peak, DC offset, and the share of silence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES = 50  # a second
LOWEST = -120  # dB, of the histogram of frames
SILENT = -80.0  # dBFS: a frame below is silence, whatever the others are
WINDOW = 10  # seconds of which a mean is an offset: of fewer, it may be that of low sounds
QUIET = 40.0  # dB below the mean level: silence too


class Levels:
    """Peak, means and mean square; the levels of frames without their mean, of all channels."""

    def __init__(self, channels: int) -> None:
        self.peak = 0.0
        self._sums = np.zeros(channels)  # of the current window
        self._seconds = self._samples = 0  # of it
        self._offset: float | None = None  # the largest of the windows before
        self._histogram = np.zeros(1 - LOWEST, np.int64)  # of frames, in steps of 1 dB
        self._power = 0.0
        self._frames = 0

    def add(
        self,
        seconds: NDArray[np.float32],
        tops: NDArray[np.float32],
        bottoms: NDArray[np.float32],
    ) -> None:
        """As `Clipping.add`."""
        self.peak = max(self.peak, float(tops.max()), -float(bottoms.min()))
        channels, count, length = seconds.shape
        size = min(length, -(-length // FRAMES)) if length else 0
        frames = length // size
        cut = seconds[..., : frames * size].reshape(channels, count, frames, size)
        means = cut.mean(axis=-1)
        for sums in means.sum(axis=2, dtype=np.float64).T * size:
            self._add_second(sums, frames * size)
        squares = np.einsum("cnfs,cnfs->cnf", cut, cut) / np.float32(size)
        powers = np.maximum(squares - np.square(means), 0).mean(axis=0).ravel()
        self._power += float(powers.sum(dtype=np.float64))
        self._frames += len(powers)
        levels = 10 * np.log10(np.maximum(powers, 10 ** (LOWEST / 10)))
        bins = np.minimum(levels - LOWEST, -LOWEST).astype(np.int64)
        self._histogram += np.bincount(bins, minlength=len(self._histogram))

    def _add_second(self, sums: NDArray[np.float64], samples: int) -> None:
        """``sums`` [channels] of the samples of a second."""
        self._sums += sums
        self._samples += samples
        self._seconds += 1
        if self._seconds == WINDOW:
            self._offset = max(self._offset or 0.0, self._mean)
            self._sums[:] = self._seconds = self._samples = 0

    @property
    def _mean(self) -> float:
        return float(np.abs(self._sums).max()) / self._samples if self._samples else 0.0

    @property
    def power(self) -> float:
        """The mean square, DC offset left out."""
        return self._power / self._frames if self._frames else 0.0

    @property
    def peak_level(self) -> float:
        """In dBFS, -inf for digital silence."""
        return 20 * math.log10(self.peak) if self.peak else -math.inf

    @property
    def dc_offset(self) -> float:
        """In percent of full scale: the largest of all windows; a last one that isn't full counts
        where there is no other."""
        return 100 * (self._mean if self._offset is None else self._offset)

    @property
    def silence(self) -> float:
        """The share of silent frames, to 1 dB."""
        level = 10 * math.log10(self.power) if self.power else -math.inf
        limit = max(SILENT, level - QUIET)
        silent = self._histogram[: max(0, round(limit) - LOWEST)].sum()
        return float(silent) / self._frames if self._frames else 0.0
