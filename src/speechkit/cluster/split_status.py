"""The state of one split: from its results, its log of attempts, and its task in SLURM's queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechkit.cluster import attempts
from speechkit.cluster.attempts import Attempt, End
from speechkit.cluster.layout import Layout
from speechkit.errors import UsageError
from speechkit.io.output_status import OutputStatus, output_status
from speechkit.io.part_file import part_path
from speechkit.io.slurm import Queued

DONE, RUNNING, QUEUED, FAILED = "done", "running", "queued", "failed"
BROKEN, NOT_STARTED = "broken", "not started"  # broken: its files are invalid
STATES = (DONE, RUNNING, QUEUED, FAILED, BROKEN, NOT_STARTED)
CANCELLED = "cancelled"
_FINISHED = (0, 3)  # exit codes of a split with complete results
_DRAINED = 75
#: Reasons for the end of a task by SLURM itself, by SLURM's name of its state.
_SLURM_REASONS = {
    "OUT_OF_MEMORY": "out of memory: SLURM has killed it",
    "TIMEOUT": "over its time limit: SLURM has killed it",
    "NODE_FAIL": "its node has failed",
    "CANCELLED": CANCELLED,
    "PREEMPTED": "preempted",
    "BOOT_FAIL": "its node has failed",
    "DEADLINE": "past its deadline",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStatus:
    """The status of a split.

    ``state``: one of `STATES`. ``answered``: number of ``utterances`` with a result or an error.
    ``errors``: their number by type. ``seconds``: length of the audio. ``reason``: why the split
    failed or is broken. ``log``: the file with the messages of its last attempt.
    """

    number: int
    state: str
    utterances: int
    answered: int
    seconds: float
    errors: dict[str, int]
    reason: str = ""
    log: str = ""

    @property
    def answered_seconds(self) -> float:
        """Seconds of audio answered, estimated from the share of utterances."""
        return self.seconds * self.answered / self.utterances if self.utterances else 0.0


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """The attempts at a split, or the reason why its log can't be read."""

    attempts: Sequence[Attempt] = ()
    unreadable: str = ""

    @property
    def job(self) -> int:
        """SLURM's number of the last attempt, 0 without one."""
        return self.attempts[-1].job if self.attempts else 0

    @property
    def end(self) -> End | None:
        """The end of the last attempt."""
        return self.attempts[-1].end if self.attempts else None


def read_attempt_log(output: Path) -> AttemptLog:
    try:
        return AttemptLog(attempts.read(output))
    except UsageError as e:
        return AttemptLog(unreadable=str(e))


def split_status(layout: Layout, number: int, log: AttemptLog, task: Queued | None) -> SplitStatus:
    output, split = layout.result(number), layout.index.splits[number]
    results = output_status(output)
    state = _state(output, results, log, task)
    reason = ""
    if state == BROKEN:
        reason = results.broken or log.unreadable
    elif state == FAILED:
        reason = failure(log, task)
    return SplitStatus(
        number=number,
        state=state,
        utterances=split.utterances,
        answered=min(results.answered, split.utterances),
        seconds=split.seconds,
        errors=dict(results.errors),
        reason=reason,
        log=log.attempts[-1].log if log.attempts else "",
    )


def _state(output: Path, results: OutputStatus, log: AttemptLog, task: Queued | None) -> str:
    if task and task.lives:
        return RUNNING if task.runs else QUEUED
    if results.broken or log.unreadable:
        return BROKEN
    if _finished(output, log.end):
        return DONE
    if results.in_progress:
        return RUNNING
    return FAILED if task or log.attempts else NOT_STARTED


def _finished(output: Path, end: End | None) -> bool:
    retried = part_path(output).exists()  # an unfinished output beside the finished one
    return output.exists() and not retried and (not end or end.code in (*_FINISHED, _DRAINED))


def failure(log: AttemptLog, task: Queued | None) -> str:
    """Why the last attempt is not the end, as a phrase."""
    if task and task.state in _SLURM_REASONS:
        return _SLURM_REASONS[task.state]
    end = log.end
    if end is None:
        word = f" (SLURM: {task.state})" if task else ""
        return (
            f"killed, or its node failed{word}" if log.attempts else f"ended before it began{word}"
        )
    if end.code in _FINISHED:
        return "its output is gone"
    return end.reason or f"exit code {end.code}"
