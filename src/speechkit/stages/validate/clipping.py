"""Flat tops: peaks that were cut off, at full scale or below it, if the level was lowered since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT = 2e-4  # of the largest sample: samples that differ by less are at one level
SHORTEST = 3  # samples of a flat top
LEAST_TOPS = 2  # at the same level in the same second; one may be chance
LEAST_PILE = 10  # samples at the highest level in a second: in peaks of one sample or two
PILED_UP = 4.0  # times as many as at the three levels below; of a sine it is 0.7
VARIED = 400  # different values at least: a tone that repeats itself exactly has fewer
LEAST_LEVEL = 0.01  # of full scale: below it, neighbouring samples are equal by rounding
# The sample beside a flat top lies lower by so many times `FLAT` at least. Beside the top of a
# parabola, which every smooth peak is, it is less than 4.
STEEP = 4.0
QUANTA = 2.5  # and by so many steps of the quantisation


class Clipping:
    """Counts samples in flat tops, of each channel.

    ``place``: the sample at which the second with most of them begins to be flat.
    """

    def __init__(self, channels: int) -> None:
        self.place: int | None = None
        self._most = 0
        self._clipped = np.zeros(channels, np.int64)
        self._samples = 0

    def add(
        self,
        seconds: NDArray[np.float32],
        tops: NDArray[np.float32],
        bottoms: NDArray[np.float32],
    ) -> None:
        """``seconds`` [channels, seconds, samples], with the largest and the smallest of each."""
        before, length = self._samples, seconds.shape[2]
        self._samples += seconds.shape[1] * length
        for sign, peaks in ((1, tops), (-1, -bottoms)):
            limits = (sign * (1 - FLAT) * peaks)[..., None]
            near = seconds >= limits if sign > 0 else seconds <= limits
            counts = np.count_nonzero(near, axis=-1)
            suspects = (counts >= LEAST_TOPS * SHORTEST) & (peaks >= LEAST_LEVEL)
            for channel, second in zip(*np.nonzero(suspects), strict=True):
                sound = sign * seconds[channel, second]
                count, first = _cut_off(sound, near[channel, second])
                self._clipped[channel] += count
                if count > self._most:
                    self._most, self.place = count, before + int(second) * length + first

    @property
    def percent(self) -> float:
        return 100 * float(self._clipped.max()) / self._samples if self._samples else 0.0


def _cut_off(sound: NDArray[np.float32], near: NDArray[np.bool_]) -> tuple[int, int]:
    """The number of samples of ``sound`` [samples] that were cut off, of those ``near`` the
    largest, and the first one."""
    values = np.unique(sound)
    quantum = float(np.diff(values).min(initial=1))
    if len(values) >= VARIED and _pile_up(sound, quantum):
        return int(np.count_nonzero(near)), int(np.argmax(near))
    edges = np.diff(near.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    long = ends - starts >= SHORTEST
    starts, ends = starts[long], ends[long]
    top = float(values[-1])
    last = len(sound) - 1
    beside = np.minimum(sound[np.maximum(starts - 1, 0)], sound[np.minimum(ends, last)])
    steep = top - beside > max(STEEP * FLAT * top, QUANTA * quantum)
    if np.count_nonzero(steep) < LEAST_TOPS:
        return 0, 0
    return int((ends - starts)[steep].sum()), int(starts[steep][0])


def _pile_up(sound: NDArray[np.float32], quantum: float) -> bool:
    """Whether far more samples have the highest level than the levels right below it."""
    top = float(sound.max())
    width = max(FLAT * top, quantum)
    highest = np.count_nonzero(sound > top - 0.5 * width)
    below = np.count_nonzero(sound > top - 3.5 * width) - highest
    return bool(highest >= max(LEAST_PILE, PILED_UP * below))
