"""What a stage that judges utterances has found in all of them, in flat memory."""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from speechkit.records import Record

SAMPLE = 10_000  # values kept of a measure; its quantiles are exact up to as many
QUANTILES = (1, 5, 25, 50, 75, 95, 99)  # percent
_PLACES = ("_at", "_of", "_to")  # ends of the names of times and lines, which are no quantities
BINS = 16  # of a histogram, from the first of the quantiles to the last


class Verdicts:
    """Counts of utterances by issue and by warning, and the distribution of each measure."""

    def __init__(self) -> None:
        self.invalid = 0
        self.issues: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        self.measures: defaultdict[str, Distribution] = defaultdict(Distribution)

    def count(self, record: Record) -> None:
        self.invalid += record.get("valid") is not True
        self.issues.update(map(str, record.get("issues") or ()))
        self.warnings.update(map(str, record.get("warnings") or ()))
        values = {"duration": record.get("duration"), **(record.get("measures") or {})}
        for name, value in values.items():
            if type(value) in (int, float) and not name.endswith(_PLACES):
                self.measures[name].add(value)

    def to_json(self) -> dict[str, Any]:
        return {
            "invalid": self.invalid,
            "issues": dict(sorted(self.issues.items())),
            "warnings": dict(sorted(self.warnings.items())),
            "measures": {name: values.to_json() for name, values in self.measures.items()},
        }


class Distribution:
    """The distribution of numbers, from a random sample of them.

    The sample is Vitter's reservoir (Random Sampling with a Reservoir, 1985), and the same for the
    same numbers in the same order. A quantile is off by one percent of the numbers at most, in 95
    of 100 cases.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0
        self._least, self._most = math.inf, -math.inf
        self._sample = array("d")
        self._chance = random.Random(0)  # noqa: S311

    def add(self, value: float) -> None:
        self.count += 1
        self._sum += value
        self._least, self._most = min(self._least, value), max(self._most, value)
        if len(self._sample) < SAMPLE:
            self._sample.append(value)
        elif (place := self._chance.randrange(self.count)) < SAMPLE:
            self._sample[place] = value

    @property
    def values(self) -> list[float]:
        """The sample, sorted."""
        return sorted(self._sample)

    def to_json(self) -> dict[str, Any]:
        """``histogram``: shares of `BINS` equal steps; outer values count for the outermost."""
        values = self.values
        quantiles = {str(percent): _rounded(_quantile(values, percent)) for percent in QUANTILES}
        return {
            "count": self.count,
            "minimum": _rounded(self._least),
            "maximum": _rounded(self._most),
            "mean": _rounded(self._sum / self.count),
            "quantiles": quantiles,
            "histogram": _histogram(values),
        }


def _quantile(values: list[float], percent: float) -> float:
    """By linear interpolation between the two nearest of the sorted values, as in numpy."""
    place = (len(values) - 1) * percent / 100
    below, above = values[math.floor(place)], values[math.ceil(place)]
    return below + (above - below) * (place % 1)


def _histogram(values: list[float]) -> dict[str, Any]:
    start, end = _quantile(values, QUANTILES[0]), _quantile(values, QUANTILES[-1])
    width = (end - start) / BINS
    edges = [start + width * number for number in range(1, BINS)]
    places = [0, *(bisect_right(values, edge) for edge in edges), len(values)]
    shares = [round((above - below) / len(values), 4) for below, above in pairwise(places)]
    return {"from": _rounded(start), "to": _rounded(end), "shares": shares}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
