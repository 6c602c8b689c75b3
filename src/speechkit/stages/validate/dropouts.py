"""Samples that are missing amid sound: a run of zeros, or of the last sample, in their place."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST, LONGEST = 0.001, 0.2  # seconds of a run of zeros; a longer one is silence, unless it
LONGEST_STEEP = 1.0  # breaks off sound that is loud up to both edges
LOUDER = 10.0  # dB by which that sound must be louder than beside a shorter run
EDGE = 0.5  # of the sound beside a run, which its nearest millisecond has at least, in RMS
SHORTEST_HELD = 0.005  # seconds of a run of another value: a quiet sound of few bits has such runs
BESIDE = 0.005  # seconds before and after it, which must be sound
LEAST = -60.0  # dBFS of that sound
QUIETER = 20.0  # dB: nor may it be quieter than all of the sound by more
LOWEST = -120.0  # dBFS
STEPS = 8.0  # of the quantisation, by which the sound right beside it goes away from its value


class Dropouts:
    """Runs of one value in one channel, as blocks come."""

    def __init__(self, rate: int) -> None:
        self._shortest = max(2, round(SHORTEST * rate))
        self._shortest_held = max(2, round(SHORTEST_HELD * rate))
        self._longest = round(LONGEST * rate)
        self._longest_steep = round(LONGEST_STEEP * rate)
        self._beside = max(2, round(BESIDE * rate))
        self._held = np.zeros(0, np.float32)  # the last samples, from before a run without an end
        self._settled = 0  # of them, samples whose runs were counted
        self._before = 0  # samples of the channel before those held
        self._levels: Counter[int] = Counter()  # runs by the level beside them, in whole dBFS
        self._first: dict[int, int] = {}  # the sample of the first run of each level

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
                before, after = sound[max(0, start - self._beside) : start], sound[end:]
                beside = (before - sound[start], after[: self._beside] - sound[start])
                level = math.floor(self._level(*beside, is_long=end - start > self._longest))
                self._levels[level] += 1
                self._first.setdefault(level, self._before + start)
        self._before += keep
        self._held, self._settled = sound[keep:].copy(), settled

    def found(self, power: float) -> tuple[int, int | None]:
        """The number of runs with sound on both sides, by the mean ``power`` of all of it, and the
        sample of the first."""
        least = max(LEAST, 10 * math.log10(power) - QUIETER) if power else 0.0
        levels = [level for level in self._levels if level >= least]
        places = [self._first[level] for level in levels]
        return sum(self._levels[level] for level in levels), min(places, default=None)

    def _runs(self, sound: NDArray[np.float32]) -> list[tuple[int, int]]:
        """Where runs start and end."""
        repeats = np.zeros(len(sound) + 1, np.bool_)
        np.equal(sound[1:], sound[:-1], out=repeats[1:-1])
        edges = np.flatnonzero(repeats[1:] != repeats[:-1])
        starts, ends = edges[::2], edges[1::2] + 1
        lengths = ends - starts
        is_zero = sound[starts] == 0
        shortest = np.where(is_zero, self._shortest, self._shortest_held)
        longest = np.where(is_zero, self._longest_steep, self._longest)
        runs = np.flatnonzero((lengths >= shortest) & (lengths <= longest))
        return [(int(starts[run]), int(ends[run])) for run in runs]

    def _level(
        self, before: NDArray[np.float32], after: NDArray[np.float32], *, is_long: bool
    ) -> float:
        """The lower of the two levels, in dBFS, of the sound beside a run less its value.

        `LOWEST` where it comes to rest there, or where the run is a flat top. Less `LOUDER` of a
        long run.
        """
        sides = np.concatenate((before, after))
        sizes = np.abs(sides)
        right_beside = (
            sizes[: len(before)][-self._shortest :],
            sizes[len(before) :][: self._shortest],
        )
        moving = sizes[sizes > 0]
        if not len(moving) or sides.min() >= 0 or sides.max() <= 0:
            return LOWEST
        if min(float(side.max(initial=0)) for side in right_beside) < STEPS * moving.min():
            return LOWEST
        powers = [float(np.square(side).mean()) for side in (before, after)]
        level = 10 * math.log10(max(min(powers), 10 ** (LOWEST / 10)))
        if not is_long:
            return level
        edges = [float(np.square(side).mean()) for side in right_beside]
        steep = all(edge >= EDGE**2 * power for edge, power in zip(edges, powers, strict=True))
        return level - LOUDER if steep else LOWEST
