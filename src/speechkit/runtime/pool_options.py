"""How many processes a run has, and what each of them is granted."""

from __future__ import annotations

from dataclasses import dataclass

BATCHES_HELD = 2  # by a worker: the current one and the next


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """``time_limit``: seconds of work allowed per second of audio, where audio shorter than 3 s
    counts as 3 s; 0 for no limit. ``threads``, ``loaders``, ``gpus``: as in `stage.WorkerPlan`.
    ``held``: batches that a worker holds at most, the current one and the next. ``niceness``: of
    the processes, so that others come first."""

    workers: int
    threads: int = 1
    time_limit: float = 20.0
    loaders: int = 0
    gpus: tuple[str, ...] = ()
    held: int = BATCHES_HELD
    niceness: int = 0
