"""Values over time in a limited number of bins, however long a run and however many its samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

MOST_BINS = 720


class TimeBins:
    """Sums of values per second in bins of equal width, which doubles whenever there are too many.

    ``width`` in seconds. Times are seconds since 1970.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.width = 1.0
        self._places = {name: number for number, name in enumerate(fields, 2)}
        self._bins: dict[int, list[float]] = {}  # the first and the last time covered, and the sums
        self._lowest = self._highest = 0  # numbers of bins

    def add(self, start: float, end: float, rates: Mapping[str, float]) -> None:
        """Add rates that hold from ``start`` to ``end``, such as memory or utterances per second.

        Those of processes that run at the same time add up.
        """
        while start < end:
            index = math.floor(start / self.width)
            until = min(end, (index + 1) * self.width)
            until = until if until > start else end  # a time that is too large for fractions
            sums = self._bins.get(index) or self._new(index, start, until)
            sums[0], sums[1] = min(sums[0], start), max(sums[1], until)
            for name, rate in rates.items():
                sums[self._places[name]] += rate * (until - start)
            start = until
            while self._highest - self._lowest >= MOST_BINS:
                self._double()

    def _new(self, index: int, start: float, end: float) -> list[float]:
        if not self._bins:
            self._lowest = self._highest = index
        self._lowest, self._highest = min(self._lowest, index), max(self._highest, index)
        sums = self._bins[index] = [start, end, *[0.0] * len(self._places)]
        return sums

    def _double(self) -> None:
        self.width *= 2
        before, self._bins = self._bins, {}
        for index, sums in before.items():
            there = self._bins.get(index // 2) or self._new(index // 2, sums[0], sums[1])
            there[0], there[1] = min(there[0], sums[0]), max(there[1], sums[1])
            for number in range(2, len(sums)):
                there[number] += sums[number]

    def rates(self, field: str) -> Iterator[tuple[float, float | None]]:
        """The middle of each bin and the mean rate in it; None once where nothing was recorded."""
        number, before = self._places[field], None
        for index in sorted(self._bins):
            first, last, *_ = sums = self._bins[index]
            if before is not None and index > before + 1:
                yield (before + 1) * self.width, None
            yield (first + last) / 2, sums[number] / max(last - first, 1e-3)
            before = index
