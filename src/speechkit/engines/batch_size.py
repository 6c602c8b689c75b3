"""The number of windows an engine computes at once, halved when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from speechkit.errors import OutOfMemory

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchSize:
    """A batch size that is halved when memory runs out, and stays so.

    ``out_of_memory`` tells whether an exception means that; ``free`` releases cached memory.
    """

    def __init__(
        self, size: int, out_of_memory: Callable[[Exception], bool], free: Callable[[], None]
    ) -> None:
        self.size = size
        self._out_of_memory = out_of_memory
        self._free = free

    def map_halving(
        self, items: Sequence[Item], compute: Callable[[Sequence[Item]], list[Result]]
    ) -> list[Result]:
        """Compute the items in batches; return a result for each, in order.

        Raise `OutOfMemory` where a single item is too large.
        """
        results: list[Result] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + self.size]
            try:
                results += compute(part)
                continue
            except Exception as e:
                if not self._out_of_memory(e):
                    raise
                message = str(e).split("\n", 1)[0]
            self._free()  # outside the handler, whose exception holds the tensors
            if len(part) == 1:
                raise OutOfMemory(f"it does not fit in memory even alone: {message}")
            self.size = len(part) // 2
            log.warning(
                "out of memory with %d windows at once; %d from now on", len(part), self.size
            )
        return results
