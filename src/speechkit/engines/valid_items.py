"""Steps over several items, of which some have failed: an error takes the place of its item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from speechkit.errors import UtteranceError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_valid(
    items: Iterable[Item | UtteranceError],
    step: Callable[[list[Item]], Iterable[Result | UtteranceError]],
) -> Iterator[Result | UtteranceError]:
    """What ``step`` makes of all valid items, in order; errors stay where they are."""
    held = list(items)
    results = iter(step([item for item in held if not isinstance(item, UtteranceError)]))
    for item in held:
        yield item if isinstance(item, UtteranceError) else next(results)
