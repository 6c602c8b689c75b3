"""Turns: segments of the input with keys to carry over, such as a speaker."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

Extra = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """A segment of the input: its times in seconds of the utterance, and its keys to carry over."""

    start: float
    end: float
    extra: Extra


class Turns:
    """Turns in order of time, without overlap: of two, the first keeps its end."""

    def __init__(self, turns: Iterable[Turn] = ()) -> None:
        self._turns: list[Turn] = []
        for turn in sorted(turns, key=lambda turn: turn.start):
            start = max(turn.start, self._turns[-1].end) if self._turns else turn.start
            if start < turn.end:
                self._turns.append(replace(turn, start=start))

    def extra_at(self, start: float, end: float) -> Extra:
        """The keys of the turn with the most overlap, or of the nearest turn without overlap.

        Empty if there are no turns.
        """
        if not self._turns:
            return {}
        first, last = self._range(start, end)
        near = self._turns[max(0, first - 1) : last + 1]
        # For a turn without overlap, this is the negative distance.
        return max(near, key=lambda turn: min(turn.end, end) - max(turn.start, start)).extra

    def changes(self, start: float, end: float) -> list[float]:
        """The times in a span at which the keys change, half-way between two turns."""
        first, last = self._range(start, end)
        turns: Sequence[Turn] = self._turns[first:last]
        return [
            (before.end + after.start) / 2
            for before, after in pairwise(turns)
            if before.extra != after.extra
        ]

    def _range(self, start: float, end: float) -> tuple[int, int]:
        """The range of indices of the turns that overlap a span."""
        first = bisect_right(self._turns, start, key=lambda turn: turn.end)
        return first, bisect_left(self._turns, end, key=lambda turn: turn.start)


NO_TURNS = Turns()
