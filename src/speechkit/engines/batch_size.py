"""The number of windows an engine computes at once, halved when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from speechkit.errors import OutOfMemory

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def attempt(
    items: Sequence[Item],
    compute: Callable[[Sequence[Item]], list[Result]],
    out_of_memory: Callable[[Exception], bool],
    free: Callable[[], None],
) -> list[Result] | None:
    """The results of the items, or None if memory ran out; what is cached of it is then released.

    Raise `OutOfMemory` where a single item is too large.
    """
    try:
        return compute(items)
    except Exception as e:
        if not out_of_memory(e):
            raise
        message = str(e).split("\n", 1)[0]
    free()  # outside the handler, whose exception holds the tensors
    if len(items) == 1:
        raise OutOfMemory(f"it does not fit in memory even alone: {message}")
    return None


class BatchSize:
    """A batch size that is halved when memory runs out, and stays so.

    ``out_of_memory`` tells whether an exception means that; ``free`` releases cached memory.
    ``each``: items that an engine takes in a call for each that it computes at once. ``corrected``
    tells a better size than the one that a first call has had.
    """

    def __init__(
        self,
        size: int,
        out_of_memory: Callable[[Exception], bool],
        free: Callable[[], None],
        *,
        each: int = 1,
        corrected: Callable[[int], int] | None = None,
    ) -> None:
        self.size = size
        self._out_of_memory = out_of_memory
        self._free = free
        self._each = each
        self._corrected = corrected

    @property
    def together(self) -> int:
        """The items of a call; no more than one where no two are computed at once."""
        return self.size * self._each if self.size > 1 else 1

    def map_halving(
        self, items: Sequence[Item], compute: Callable[[Sequence[Item]], list[Result]]
    ) -> list[Result]:
        """Compute the items in calls of `together`; return a result for each, in order.

        Raise `OutOfMemory` where a single item is too large.
        """
        results: list[Result] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + self.together]
            computed = attempt(part, compute, self._out_of_memory, self._free)
            if computed is None:
                self._halve(min(self.size, len(part)))
            else:
                results += computed
                self._correct(len(part))
        return results

    def _correct(self, computed: int) -> None:
        if not self._corrected or computed < self.size:
            return
        size = self._corrected(self.size)
        self._corrected = None
        if size != self.size:
            log.info("%d windows at once instead of %d, by the memory taken", size, self.size)
            self.size = size
            self._free()

    def _halve(self, size: int) -> None:
        """Halve the ``size`` of a call that ran out of memory."""
        self.size = size // 2
        self._corrected = None
        log.warning("out of memory with %d windows at once; %d from now on", size, self.size)
