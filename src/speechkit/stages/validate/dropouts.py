"""Samples that are missing amid sound: runs of exact zeros in their place."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST, LONGEST = 0.001, 0.2  # seconds of a run; a longer one is silence
BESIDE = 0.005  # seconds before and after it, which must be sound
LEAST = -60.0  # dBFS of that sound
QUIETER = 20.0  # dB: nor may it be quieter than all of the sound by more
LOWEST = -120.0  # dBFS
STEPS = 4.0  # times the smallest sample, right beside it: otherwise few bits make the zeros


class Dropouts:
    """Runs of zeros in one channel, as blocks come."""

    def __init__(self, rate: int) -> None:
        self._shortest = max(2, round(SHORTEST * rate))
        self._longest = round(LONGEST * rate)
        self._beside = max(2, round(BESIDE * rate))
        self._held = np.zeros(0, np.float32)  # the last samples, from before a run without an end
        self._settled = 0  # of them, samples whose runs were counted
        self._levels: Counter[int] = Counter()  # runs by the level beside them, in whole dBFS

    def add(self, sound: NDArray[np.float32]) -> None:
        """``sound`` [samples]: the next block of the channel."""
        sound = np.concatenate((self._held, sound))
        certain = len(sound) - self._beside  # what ends before has its sound on both sides
        keep, settled = max(0, certain), 0
        for start, end in self._runs(sound):
            if end > certain:
                keep = max(0, start - self._beside)
                settled = start - keep
            elif end > self._settled:
                level = self._level(
                    sound[max(0, start - self._beside) : start], sound[end:][: self._beside]
                )
                self._levels[math.floor(level)] += 1
        self._held, self._settled = sound[keep:].copy(), settled

    def count(self, power: float) -> int:
        """The runs with sound on both sides, by the mean ``power`` of all of it."""
        least = max(LEAST, 10 * math.log10(power) - QUIETER) if power else 0.0
        return sum(count for level, count in self._levels.items() if level >= least)

    def _runs(self, sound: NDArray[np.float32]) -> list[tuple[int, int]]:
        edges = np.flatnonzero(np.diff((sound == 0).view(np.int8), prepend=0, append=0))
        lengths = edges[1::2] - edges[::2]
        runs = np.flatnonzero((lengths >= self._shortest) & (lengths <= self._longest))
        return [(int(edges[2 * run]), int(edges[2 * run + 1])) for run in runs]

    def _level(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
        """The lower of the two levels, in dBFS; `LOWEST` where the sound doesn't stop at once."""
        sizes = np.abs(np.concatenate((before, after)))
        right_beside = (before[-self._shortest :], after[: self._shortest])
        if not sizes.any() or min(map(_peak, right_beside)) < STEPS * sizes[sizes > 0].min():
            return LOWEST
        powers = [float(np.square(side).mean()) for side in (before, after)]
        return 10 * math.log10(max(min(powers), 10 ** (LOWEST / 10)))


def _peak(sound: NDArray[np.float32]) -> float:
    return float(np.abs(sound).max(initial=0))
