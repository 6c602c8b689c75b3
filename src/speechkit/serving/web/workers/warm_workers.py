"""The engines that a server keeps: two lanes of workers for each model.

Short requests have workers of their own, so that they never wait for a long recording. The workers
of long ones give way to them by their niceness.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from speechkit.runtime.divisions import Divisions
from speechkit.runtime.pool_interface import BeginComputing, Computing, StallEnds
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import Stage
from speechkit.runtime.watch import Watch
from speechkit.runtime.worker_plan import fitting_workers
from speechkit.serving.web.workers.lane import Lane
from speechkit.stages.asr.stage import AsrProcessor

LaneName = Literal["quick", "bulk"]
NICENESS = 10  # of bulk workers
MEMORY_SHARE = 0.4  # of the memory granted, for the workers of a lane
QUICK_SECONDS = 30.0  # of audio in all, of the longest request for the lane `quick`: one window


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that a lane has loaded. ``memory``: resident bytes of its processes."""

    engine: str
    model: str | None
    lane: LaneName
    pids: tuple[int, ...]
    memory: int
    idle_seconds: float


class WarmWorkers:
    """``idle``: seconds without work after which the processes of a lane end."""

    def __init__(self, *, idle: float) -> None:
        self._idle = idle
        self._lanes: dict[tuple[str, str | None, LaneName], Lane] = {}
        self._lock = threading.Lock()

    def begin(self, lane: LaneName) -> BeginComputing:
        """What `job.run` takes, to compute a run of asr in a lane."""

        def begin(
            divisions: Divisions,
            options: PoolOptions,
            watch: Watch,
            stall_ends: StallEnds,
            folder: Path | None,
        ) -> AbstractContextManager[Computing]:
            return self._lane(divisions, options, lane).joined(divisions)

        return begin

    def loaded(self) -> list[LoadedModel]:
        with self._lock:
            lanes = list(self._lanes.items())
        return [
            LoadedModel(*key, tuple(pids), _resident(pids), lane.idle_seconds)
            for key, lane in lanes
            if (pids := lane.pids)
        ]

    def close(self) -> None:
        """End all processes, within seconds."""
        with self._lock:
            lanes = list(self._lanes.values())
        threads = [threading.Thread(target=lane.close) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _lane(self, divisions: Divisions, options: PoolOptions, name: LaneName) -> Lane:
        stage = divisions.stage
        key = stage.options["engine"], stage.options["model"], name
        with self._lock:
            if key not in self._lanes:
                self._lanes[key] = Lane(_granted(options, stage, name), self._idle)
            return self._lanes[key]


def _granted(options: PoolOptions, stage: Stage, lane: LaneName) -> PoolOptions:
    """The processes of a lane: as many as the run would have, if the memory holds both lanes.

    Each has the threads that it would have, on which the last bits of a result depend.
    """
    workers = min(options.workers, fitting_workers(_weights(stage), MEMORY_SHARE))
    if lane == "quick":
        return replace(options, workers=workers, held=1)
    return replace(options, workers=workers, niceness=NICENESS)


def _weights(stage: Stage) -> Path | None:
    assert isinstance(stage.processor, AsrProcessor)
    engine = stage.processor.engine
    return Path(engine.value("model")) if engine.info.weights else None


def _resident(pids: list[int]) -> int:
    """Bytes of memory of the processes, without those that have ended meanwhile."""
    import psutil

    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:
            continue
    return total
