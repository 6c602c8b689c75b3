"""Flat tops: peaks that were cut off, at full scale or below it, if the level was lowered since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT = 2e-4  # of the largest sample: samples that differ by less are at one level
SHORTEST = 3  # samples of a flat top
LEAST_TOPS = 2  # at the same level in the same second; one may be chance
LEAST_LEVEL = 0.01  # of full scale: below it, neighbouring samples are equal by rounding
# The sample beside a flat top lies lower by so many times `FLAT` at least. Beside the top of a
# parabola, which every smooth peak is, it is less than 4.
STEEP = 4.0
QUANTA = 2.5  # and by so many steps of the quantisation


class Clipping:
    """Counts samples in flat tops, of each channel."""

    def __init__(self, channels: int) -> None:
        self._clipped = np.zeros(channels, np.int64)
        self._samples = 0

    def add(
        self,
        seconds: NDArray[np.float32],
        tops: NDArray[np.float32],
        bottoms: NDArray[np.float32],
    ) -> None:
        """``seconds`` [channels, seconds, samples], with the largest and the smallest of each."""
        self._samples += seconds.shape[1] * seconds.shape[2]
        for sign, peaks in ((1, tops), (-1, -bottoms)):
            limits = (sign * (1 - FLAT) * peaks)[..., None]
            near = seconds >= limits if sign > 0 else seconds <= limits
            counts = np.count_nonzero(near, axis=-1)
            suspects = (counts >= LEAST_TOPS * SHORTEST) & (peaks >= LEAST_LEVEL)
            for channel, second in zip(*np.nonzero(suspects), strict=True):
                sound = sign * seconds[channel, second]
                self._clipped[channel] += _in_flat_tops(sound, near[channel, second])

    @property
    def percent(self) -> float:
        return 100 * float(self._clipped.max()) / self._samples if self._samples else 0.0


def _in_flat_tops(sound: NDArray[np.float32], near: NDArray[np.bool_]) -> int:
    """The samples of ``sound`` [samples] in flat tops, of those ``near`` the largest."""
    edges = np.diff(near.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    long = ends - starts >= SHORTEST
    starts, ends = starts[long], ends[long]
    if len(starts) < LEAST_TOPS:
        return 0
    top = float(sound.max())
    quantum = float(np.diff(np.unique(sound)).min())
    last = len(sound) - 1
    beside = np.minimum(sound[np.maximum(starts - 1, 0)], sound[np.minimum(ends, last)])
    steep = top - beside > max(STEEP * FLAT * top, QUANTA * quantum)
    if np.count_nonzero(steep) < LEAST_TOPS:
        return 0
    return int((ends - starts)[steep].sum())
