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
        self.fields = tuple(fields)
        self.width = 1.0
        self._bins: dict[int, list[float]] = {}  # the first and the last time covered, and the sums

    def add(self, start: float, end: float, rates: Mapping[str, float]) -> None:
        """Add rates that hold from ``start`` to ``end``, such as memory or utterances per second.

        Those of processes that run at the same time add up.
        """
        numbered = [(self.fields.index(name) + 2, rate) for name, rate in rates.items()]
        time = start
        while time < end:
            index = math.floor(time / self.width)
            until = min(end, (index + 1) * self.width)
            until = until if until > time else end  # a time that is too large for halves
            sums = self._bins.setdefault(index, [time, until, *[0.0] * len(self.fields)])
            sums[0], sums[1] = min(sums[0], time), max(sums[1], until)
            for number, rate in numbered:
                sums[number] += rate * (until - time)
            time = until
            if len(self._bins) > 1:
                self._limit()

    def _limit(self) -> None:
        while max(self._bins) - min(self._bins) >= MOST_BINS:
            self.width *= 2
            merged: dict[int, list[float]] = {}
            for index, sums in self._bins.items():
                there = merged.setdefault(index // 2, [sums[0], sums[1], *[0.0] * len(self.fields)])
                there[0], there[1] = min(there[0], sums[0]), max(there[1], sums[1])
                for number in range(2, len(sums)):
                    there[number] += sums[number]
            self._bins = merged

    def rates(self, field: str) -> Iterator[tuple[float, float | None]]:
        """The middle of each bin and the mean rate in it; None once where nothing was recorded."""
        number = self.fields.index(field) + 2
        before = None
        for index in sorted(self._bins):
            first, last, *_ = sums = self._bins[index]
            if before is not None and index > before + 1:
                yield (before + 1) * self.width, None
            yield (first + last) / 2, sums[number] / max(last - first, 1e-3)
            before = index
