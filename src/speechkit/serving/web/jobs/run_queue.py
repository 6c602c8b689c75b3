"""A queue of runs: first come, first served, so many at once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)


class RunQueue:
    """``at_once``: runs that are at work together.

    Its threads never keep a process that ends: a run that is cut goes on at the next start.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._changed = threading.Condition()

    def put(self, run: Callable[[], None]) -> None:
        with self._changed:
            self._waiting.append(run)
            if self._threads < self._at_once:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True).start()

    def close(self, patience: float) -> None:
        """Begin nothing any more, and wait so many seconds for what has begun."""
        with self._changed:
            self._waiting.clear()
            self._changed.wait_for(lambda: not self._threads, patience)

    def _work(self) -> None:
        while run := self._next():
            try:
                run()
            except Exception:  # the others go on
                log.exception("a run has failed")

    def _next(self) -> Callable[[], None] | None:
        """The run that has waited longest; None if there is none, and the thread is to end."""
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            self._changed.notify_all()
            return None
