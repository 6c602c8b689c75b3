"""Texts about runs on a cluster: their status, their jobs, and the tasks of single splits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from speechkit.cluster.split_status import BROKEN, FAILED, STATES, SplitStatus
from speechkit.cluster.status import Status
from speechkit.cluster.submission import Submission
from speechkit.cluster.supervisor import SplitTask, TaskEnd
from speechkit.io.split_index import array_text

_MOST_FAILURES = 20  # failed splits that are listed


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A `Report` of a run's status."""

    status: Status

    @property
    def exit_code(self) -> int:
        return 0 if self.status.complete else 4

    def to_json(self) -> dict[str, Any]:
        return self.status.to_json()

    def view(self) -> str:
        return status_text(self.status)


def status_text(status: Status) -> str:
    states = Counter(split.state for split in status.splits)
    counts = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    lines = [
        f"{status.output}: {len(status.splits)} splits: {counts}",
        f"  {_progress(status)}",
        *_errors(status),
        *_failures(status),
        *_advice(status),
    ]
    if status.merge:
        state = "complete" if status.merged else "queued" if status.merging else "missing"
        lines.append(f"  merged output {state}: {status.merge}")
    return "\n".join(lines)


def submit_text(submission: Submission) -> str:
    if submission.status:
        return f"submitted already\n{status_text(submission.status)}"
    return "\n".join(_jobs(submission))


def rerun_text(submission: Submission) -> str:
    if submission.status:
        return f"nothing to run again\n{status_text(submission.status)}"
    earlier = [rerun_text(submission.earlier)] if submission.earlier else []
    return "\n".join([*earlier, *_jobs(submission)])


def task_text(task: SplitTask) -> str:
    """The heading of a task's log."""
    restart = f"restart {task.restarts}, " if task.restarts else ""
    job = f"job {task.job}, {restart}" if task.job else ""
    return f"split {task.split} of {task.splits} ({job}{task.cpus} CPUs)"


def task_end_text(end: TaskEnd) -> str:
    return f"split {end.split}: {end.notice}"


def _progress(status: Status) -> str:
    answered = sum(split.answered for split in status.splits)
    utterances = sum(split.utterances for split in status.splits)
    hours = sum(split.answered_seconds for split in status.splits) / 3600
    total = sum(split.seconds for split in status.splits) / 3600
    to_go = "" if status.remaining is None else f", about {_duration(status.remaining)} to go"
    return f"{answered} of {utterances} utterances, {hours:.2f} of {total:.2f} h{to_go}"


def _errors(status: Status) -> Iterator[str]:
    errors = sum((Counter(split.errors) for split in status.splits), Counter())
    for kind, count in sorted(errors.items()):
        yield f"  {count} x {kind}"


def _failures(status: Status) -> Iterator[str]:
    failures = [split for split in status.splits if split.state in (FAILED, BROKEN)]
    yield from map(_failure, failures[:_MOST_FAILURES])
    if len(failures) > _MOST_FAILURES:
        yield f"  … and {len(failures) - _MOST_FAILURES} more"


def _failure(split: SplitStatus) -> str:
    log = f" ({split.log})" if split.log else ""
    reason = split.reason.replace("\n", "; ")
    return f"  split {split.number} {split.state}: {reason}{log}"


def _advice(status: Status) -> Iterator[str]:
    if status.incomplete:
        array = array_text(split.number for split in status.incomplete)
        command = f" (speechkit slurm rerun {status.output})" if status.submitted else ""
        yield f"  incomplete: --array={array}{command}"
    if not status.known:
        yield "  SLURM doesn't answer: queued tasks and tasks on other machines are not known"
    elif status.incomplete and not status.submitted:
        yield "  (tasks submitted with sbatch by hand show once they have begun)"


def _jobs(submission: Submission) -> Iterator[str]:
    for array in submission.arrays:
        first = f", from split {array.offset} on" if array.offset else ""
        yield f"job {array.job}: {submission.stage} {array.option}{first}"
    if submission.merge:
        yield f"job {submission.merge}: merge into {submission.merged}, after these have ended"
    yield f"to see its progress: speechkit slurm status {submission.output}"


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.1f} days"
