"""What processes of ours take of the machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Use:
    """``rss``: resident bytes. ``cpu``: CPUs kept busy since the last look, as a mean."""

    rss: int
    cpu: float


class ProcessUses:
    """The use of processes by their ids, each look since the one before."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, float, float]] = {}  # process, CPU seconds, when

    def of(self, pid: int) -> Use | None:
        """None for a process that is gone."""
        import psutil

        try:
            process, before, then = self._known.get(pid) or (psutil.Process(pid), 0.0, 0.0)
            with process.oneshot():
                rss, times = process.memory_info().rss, process.cpu_times()
                then = then or time.monotonic() - max(0.0, time.time() - process.create_time())
        except psutil.Error:
            self._known.pop(pid, None)
            return None
        now, seconds = time.monotonic(), times.user + times.system
        self._known[pid] = process, seconds, now
        return Use(rss, round(max(0.0, seconds - before) / max(now - then, 1e-3), 3))
