"""An iterator run ahead of its reader."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 2  # items made and not yet taken, at most


def prefetched(items: Iterator[Item]) -> Iterator[Item]:
    """The items, made in another thread while the reader is at work; `AHEAD` at most wait.

    An exception of the iterator is raised where its item would have come. The thread ends when
    this generator is closed.
    """
    made: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(AHEAD)
    closed = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        while not closed.is_set():
            try:
                made.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for item in items:
                put(item, None)
                if closed.is_set():
                    return
        except BaseException as e:
            put(None, e)
        else:
            put(None, StopIteration())

    threading.Thread(target=make, daemon=True).start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        closed.set()
