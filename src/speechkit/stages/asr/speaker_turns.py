"""Turns: segments of the input that carry keys of their own, a speaker above all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

Extra = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of the utterance, and the keys that the input's segment carries."""

    start: float
    end: float
    extra: Extra


class Turns:
    """Turns in order of time that don't overlap: the one that began first goes on to its end."""

    def __init__(self, turns: Iterable[Turn] = ()) -> None:
        self._turns: list[Turn] = []
        for turn in sorted(turns, key=lambda turn: turn.start):
            start = max(turn.start, self._turns[-1].end) if self._turns else turn.start
            if start < turn.end:
                self._turns.append(replace(turn, start=start))

    def since(self, seconds: float) -> Turns:
        """The turns that end later, on a clock that starts then."""
        return Turns(
            replace(turn, start=turn.start - seconds, end=turn.end - seconds)
            for turn in self._turns
            if turn.end > seconds
        )

    def extra_at(self, start: float, end: float) -> Extra:
        """The keys of the turn that a word overlaps most, or of the nearest where it overlaps none.

        Empty where there are no turns.
        """
        if not self._turns:
            return {}
        first, last = self._range(start, end)
        near = self._turns[max(0, first - 1) : last + 1]
        # Of a turn that doesn't overlap this is the distance, below 0.
        return max(near, key=lambda turn: min(turn.end, end) - max(turn.start, start)).extra

    def changes(self, start: float, end: float) -> list[float]:
        """The times in a span at which the keys change: half-way between one turn and the next."""
        first, last = self._range(start, end)
        turns: Sequence[Turn] = self._turns[first:last]
        return [
            (before.end + after.start) / 2
            for before, after in pairwise(turns)
            if before.extra != after.extra
        ]

    def _range(self, start: float, end: float) -> tuple[int, int]:
        """The indices of the first turn that overlaps a span, and of the one after the last."""
        first = bisect_right(self._turns, start, key=lambda turn: turn.end)
        return first, bisect_left(self._turns, end, key=lambda turn: turn.start)


NO_TURNS = Turns()
