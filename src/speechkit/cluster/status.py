"""The status of a run: its splits, its remaining time and its merged output."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechkit.cluster.attempts import Attempt
from speechkit.cluster.layout import Layout, find_layout
from speechkit.cluster.run_record import RunRecord, read_record, run_owner
from speechkit.cluster.split_status import (
    BROKEN,
    DONE,
    FAILED,
    NOT_STARTED,
    QUEUED,
    RUNNING,
    AttemptLog,
    SplitStatus,
    read_attempt_log,
    split_status,
)
from speechkit.errors import SchedulerFailed
from speechkit.io import slurm
from speechkit.io.slurm import Queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of a run.

    ``remaining``: estimated seconds until all splits are done, None without data for an estimate.
    ``merge``: the merged output, if the run has one. ``merged``: it exists and is not older than
    the results. ``merging``: its job is queued or running. ``submitted``: the run was submitted by
    `speechkit slurm submit`. ``known``: SLURM answered, so that queued tasks are known.
    """

    output: str
    splits: tuple[SplitStatus, ...]
    remaining: float | None
    merge: str | None
    merged: bool
    merging: bool
    submitted: bool
    known: bool

    @property
    def incomplete(self) -> list[SplitStatus]:
        """Splits that are neither done, running nor queued."""
        return [split for split in self.splits if split.state in (FAILED, BROKEN, NOT_STARTED)]

    @property
    def finished(self) -> list[SplitStatus]:
        return [split for split in self.splits if split.state == DONE]

    @property
    def live(self) -> bool:
        """Whether splits are running or queued."""
        return any(split.state in (RUNNING, QUEUED) for split in self.splits)

    @property
    def complete(self) -> bool:
        return len(self.finished) == len(self.splits) and (self.merge is None or self.merged)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}


def status(output: str, splits_dir: str = "splits") -> Status:
    """The status of the run submitted for ``output`` or, without one, of the splits in
    ``splits_dir``.

    Without SLURM, queued tasks are missing. Raises `UsageError` if there are no splits.
    """
    record = read_record(output)
    if record:
        return status_of(record)
    return _status(find_layout(splits_dir, None, output), None, _queue(output))


def status_of(record: RunRecord, *, need_queue: bool = False) -> Status:
    """The status of a submitted run. ``need_queue``: raises `SchedulerFailed` without SLURM."""
    output = record.plan.output
    queue = slurm.queue(run_owner(output)) if need_queue else _queue(output)
    return _status(record.plan.layout, record, queue)


def _queue(output: str) -> list[Queued] | None:
    try:
        return slurm.queue(run_owner(output))
    except SchedulerFailed:
        return None


def _status(layout: Layout, record: RunRecord | None, answer: list[Queued] | None) -> Status:
    """The status of a layout. ``answer``: SLURM's queue, None without an answer."""
    queue = answer or []
    tasks = _by_split(record, queue)
    by_job = {queued.job: queued for queued in reversed(queue)}
    numbers = range(len(layout.index.splits))
    logs = [read_attempt_log(layout.result(number)) for number in numbers]
    splits = tuple(
        # If sbatch was called by hand, only the last attempt has the number of the task.
        split_status(layout, number, log, tasks.get(number) or by_job.get(log.job))
        for number, log in zip(numbers, logs, strict=True)
    )
    merge = record.plan.merged if record else None
    merging = any(record and queued.job == record.merge and queued.lives for queued in queue)
    return Status(
        output=layout.output,
        splits=splits,
        remaining=_remaining(splits, logs),
        merge=merge,
        merged=not merging and merge is not None and _is_current(merge, layout),
        merging=merging,
        submitted=record is not None,
        known=answer is not None,
    )


def _is_current(merged: str, layout: Layout) -> bool:
    """Whether the merged output exists and no result is newer."""
    results = map(layout.result, range(len(layout.index.splits)))
    try:
        merge_time = Path(merged).stat().st_mtime_ns
    except OSError:
        return False
    return all(path.stat().st_mtime_ns <= merge_time for path in results if path.exists())


def _by_split(record: RunRecord | None, queue: Sequence[Queued]) -> dict[int, Queued]:
    """The latest task of each split in the arrays of the record."""
    tasks: dict[int, Queued] = {}
    for queued in sorted(queue, key=lambda queued: (queued.lives, queued.array)):
        split = record.split_of(queued) if record else None
        if split is not None:
            tasks[split] = queued
    return tasks


def _remaining(splits: Sequence[SplitStatus], logs: Sequence[AttemptLog]) -> float | None:
    """Remaining seconds, from the speed of the attempts so far and the number of running tasks."""
    audio = wall = 0.0
    for split, log in zip(splits, logs, strict=True):
        for attempt in log.attempts:
            done, until = _progress(split, attempt, last=attempt is log.attempts[-1])
            share = max(0, done - attempt.done) / max(1, split.utterances)
            audio += share * split.seconds
            wall += max(0.0, until - attempt.time)  # clocks may differ
    running = sum(split.state == RUNNING for split in splits)
    left = sum(split.seconds - split.answered_seconds for split in splits)
    return left / (audio / wall) / running if audio and wall and running else None


def _progress(split: SplitStatus, attempt: Attempt, *, last: bool) -> tuple[int, float]:
    """The utterances done at the end of an attempt or now, and the time of that count.

    A killed attempt counts with those done at its beginning.
    """
    if attempt.end:
        return attempt.end.done, attempt.end.time
    if last and split.state == RUNNING:
        return split.answered, time.time()
    return attempt.done, attempt.time
