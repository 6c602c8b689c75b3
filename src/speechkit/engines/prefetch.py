"""An iterator that runs ahead of its reader, in another thread."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 2  # items that wait for the reader, beside the one being computed


def prefetched(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items, computed in another thread while the reader works.

    At most `AHEAD` wait in a queue, and one more for its place there. An exception of the iterator
    is raised in place of its item. Closing this generator waits until the thread has ended, after
    the item that it computes.
    """
    computed: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(AHEAD)
    closed = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        while not closed.is_set():
            try:
                computed.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def compute() -> None:
        try:
            for item in items:
                put(item, None)
                if closed.is_set():
                    return
        except BaseException as e:
            put(None, e)
        else:
            put(None, StopIteration())

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        while True:
            item, error = computed.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        closed.set()
        if not sys.is_finalizing():  # the interpreter then stops daemon threads, which never end
            thread.join()
