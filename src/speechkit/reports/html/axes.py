"""Axes of charts: where ticks stand and what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from speechkit.reports.html.markup import number

#: Steps of time that readers expect, in seconds; days beyond.
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from ``low`` to ``high`` to the pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 times a power of ten."""
    if not low < high:
        return [low]
    return _multiples(low, high, _round_step((high - low) / most))


def bins(low: float, high: float, most: int = 30, *, whole: bool = False) -> list[float]:
    """Edges of bins of a round width, from ``low`` or below to beyond ``high``; ``whole``: for
    whole numbers, which are never split."""
    step = _round_step(max((high - low) / most, abs(high) * 1e-6, 1e-9))
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-6), math.floor(high / step + 1e-6) + 1
    return [float(f"{step * count:.12g}") for count in range(first, last + 1)]


def time_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round times in seconds from ``low`` to ``high``."""
    least = (high - low) / most
    if least <= 1:
        return ticks(low, high, most)
    step = next((step for step in _TIME_STEPS if step >= least), None)
    return _multiples(low, high, step or _DAY * _round_step(least / _DAY))


def time_labels(times: Sequence[float]) -> list[str]:
    """What ticks of time say: seconds, minutes and seconds, hours and minutes, or days."""
    last = times[-1]
    if last < 120:
        return [f"{number(time)} s" for time in times]
    whole = [round(time) for time in times]
    if last < 7200:
        return [f"{time // 60}:{time % 60:02} min" for time in whole]
    if last < 3 * _DAY:
        return [f"{time // 3600}:{time % 3600 // 60:02} h" for time in whole]
    return [f"{number(time / _DAY)} d" for time in times]


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def _multiples(low: float, high: float, step: float) -> list[float]:
    slack = step * 1e-6
    first, last = math.ceil((low - slack) / step), math.floor((high + slack) / step)
    return [float(f"{step * count:.12g}") for count in range(first, last + 1)]
