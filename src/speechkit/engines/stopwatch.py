"""The time that the parts of a work take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """``parts``: seconds of each part so far, by name.

    ``wait`` waits for the device, at the end of a part.
    """

    def __init__(self, wait: Callable[[], None] = lambda: None) -> None:
        self.parts: dict[str, float] = {}
        self._wait = wait

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A context whose time is that of a part, also if it fails."""
        began = time.monotonic()
        try:
            yield
            self._wait()
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + time.monotonic() - began
