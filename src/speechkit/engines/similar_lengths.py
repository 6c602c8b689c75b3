"""Items of similar length computed together, which need little padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from speechkit.engines.batch_size import BatchSize

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_similar(
    items: Sequence[Item],
    lengths: Sequence[int],
    most: int,
    batch: BatchSize,
    compute: Callable[[Sequence[Item]], list[Result]],
) -> Iterator[Result]:
    """Compute the items in `groups` and in batches. Yield a result for each, in order, as soon as
    it and those before it are there."""
    waiting: dict[int, Result] = {}
    following = 0
    for group in groups(lengths, most):
        results = batch.map_halving([items[index] for index in group], compute)
        waiting.update(zip(group, results, strict=True))
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def groups(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices of items of these lengths in groups, the longest first.

    The items of a group, padded to the longest, have a length of ``most`` together, unless it is a
    single one.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if group and lengths[group[0]] * (len(group) + 1) > most:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
