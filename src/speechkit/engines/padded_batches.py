"""Batches of items of similar length, limited by their number and by their padded length."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from speechkit.engines.batch_size import attempt

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class PaddedBatches:
    """Batches of at most ``most`` items and of at most ``length``: items times the longest.

    ``length`` is halved when memory runs out, and stays so. ``out_of_memory`` tells whether an
    exception means that; ``free`` releases cached memory.
    """

    def __init__(
        self,
        most: int,
        length: int,
        out_of_memory: Callable[[Exception], bool],
        free: Callable[[], None],
    ) -> None:
        self.most = most
        self._length = length
        self._out_of_memory = out_of_memory
        self._free = free
        self._largest = 0

    @property
    def size(self) -> int:
        """Items in the largest batch since memory last ran out; before any, the limit."""
        return min(self._largest or self.most, self.most)

    def is_full(self, items: int, longest: int) -> bool:
        """Whether so many items, the longest of the length ``longest``, fill a batch."""
        return items >= self._fitting(longest)

    def map(
        self,
        items: Sequence[Item],
        lengths: Sequence[int],
        compute: Callable[[Sequence[Item]], list[Result]],
    ) -> Iterator[Result]:
        """Compute batches of items of similar length, the longest first. Yield a result for each,
        in order, as soon as it and those before it are there.

        Raise `OutOfMemory` where a single item is too large.
        """
        by_length = sorted(range(len(items)), key=lengths.__getitem__, reverse=True)
        waiting: dict[int, Result] = {}
        computed = following = 0
        while computed < len(items):
            longest = lengths[by_length[computed]]
            indices = by_length[computed : computed + self._fitting(longest)]
            batch = [items[index] for index in indices]
            results = attempt(batch, compute, self._out_of_memory, self._free)
            if results is None:
                self._halve(len(batch), longest)
                continue
            computed += len(batch)
            self._largest = max(self._largest, len(batch))
            waiting.update(zip(indices, results, strict=True))
            while following in waiting:
                yield waiting.pop(following)
                following += 1

    def _fitting(self, longest: int) -> int:
        return max(1, min(self.most, self._length // max(1, longest)))

    def _halve(self, items: int, longest: int) -> None:
        self._length, self._largest = items * longest // 2, 0
        log.warning("out of memory with %d windows at once; half as many from now on", items)
