"""Which window is in which row of the decoding loop, and since when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

TOGETHER = 16  # windows that begin together, at most: more only take memory
WORTHWHILE = 8  # rows for each one that is left idle until others are free, too


class RowSchedule:
    """Windows ``waiting`` for one of ``rows``.

    ``shape`` is the smallest number of rows that a step can have for so many windows.
    """

    def __init__(self, waiting: Iterable[int], rows: int, shape: Callable[[int], int]) -> None:
        self._waiting = deque(waiting)
        self._shape = shape
        self.rows = min(rows, shape(min(rows, len(self._waiting))))
        self._enough = max(1, min(TOGETHER, self.rows // WORTHWHILE))
        self._windows: dict[int, int] = {}  # by row
        self._begun: dict[int, int] = {}  # the step before which a row's window began
        self._step = 0

    @property
    def busy(self) -> list[int]:
        return sorted(self._windows)

    @property
    def steps(self) -> int:
        """The steps of the window that began first."""
        return self._step - min(self._begun.values(), default=self._step)

    def advance(self) -> None:
        self._step += 1

    def leave(self, row: int) -> int:
        """The window that was in ``row``, which is free now."""
        del self._begun[row]
        return self._windows.pop(row)

    def enter(self) -> dict[int, int]:
        """The windows that begin now, by row; none while too few rows are free to be worth it."""
        free = [row for row in range(self.rows) if row not in self._windows]
        if len(free) < min(self._enough, len(self._waiting)):
            return {}
        entering = {row: self._waiting.popleft() for row in free[: len(self._waiting)]}
        self._windows |= entering
        self._begun |= dict.fromkeys(entering, self._step)
        return entering

    def close_up(self) -> list[tuple[int, int]]:
        """Leave rows out that nobody waits for: the rows to move, each with its free target."""
        if self._waiting or not self._windows:
            return []
        self.rows = min(self.rows, self._shape(len(self._windows)))
        sources = [row for row in self.busy if row >= self.rows]
        targets = [row for row in range(self.rows) if row not in self._windows]
        moves = list(zip(sources, targets, strict=False))
        for source, target in moves:
            self._windows[target] = self._windows.pop(source)
            self._begun[target] = self._begun.pop(source)
        return moves
