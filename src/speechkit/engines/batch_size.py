"""How much an engine computes at once, and less of it when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from speechkit.errors import OutOfMemory

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchSize:
    """Halved when memory runs out, and remembered.

    ``out_of_memory`` says whether an exception means that; ``free`` gives cached memory back.
    """

    def __init__(
        self, size: int, out_of_memory: Callable[[Exception], bool], free: Callable[[], None]
    ) -> None:
        self.size = size
        self._out_of_memory = out_of_memory
        self._free = free

    def map(
        self, items: Sequence[Item], compute: Callable[[Sequence[Item]], list[Result]]
    ) -> list[Result]:
        """A result an item, in order. Raises `OutOfMemory` where one item alone is too much."""
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
