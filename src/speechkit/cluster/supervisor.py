"""The supervisor of one split: it runs the stage, drains it, and queues the task again.

The stage runs in a separate process, so that the supervisor can log the reason of any end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from speechkit.cluster import attempts
from speechkit.cluster.attempts import Attempt, End
from speechkit.cluster.layout import Layout
from speechkit.errors import SchedulerFailed, SpeechkitError, UsageError
from speechkit.io import slurm
from speechkit.io.hardware import granted_cpus
from speechkit.io.output_status import output_status
from speechkit.io.process_failure import FailureFile, failure_file
from speechkit.runtime import interpreter
from speechkit.runtime.messages import DRAIN_SIGNALS

DRAINED = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of a task.

    ``options``: of the stage. ``requeues``: attempts in a row without a finished utterance after
    which the task isn't queued again. ``requeueable``: the split belongs to this SLURM task, so
    that it may be queued again.
    """

    stage: str
    split: int
    options: Sequence[str]
    requeues: int
    requeueable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTask:
    """A split whose attempt has begun.

    ``splits``: number of all splits. ``job`` and ``restarts``: SLURM's numbers, 0 without SLURM.
    """

    layout: Layout
    options: TaskOptions
    attempt: Attempt

    @property
    def split(self) -> int:
        return self.options.split

    @property
    def splits(self) -> int:
        return len(self.layout.index.splits)

    @property
    def output(self) -> Path:
        return self.layout.result(self.split)

    @property
    def job(self) -> int:
        return self.attempt.job

    @property
    def restarts(self) -> int:
        return int(os.environ.get("SLURM_RESTART_COUNT") or 0)

    @property
    def cpus(self) -> int:
        return granted_cpus()


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """``notice``: the supervisor's reason for the end, "" if the stage itself has given one."""

    split: int
    exit_code: int
    notice: str = ""


def split_number(text: str | None) -> int:
    """The split of this task: ``text`` or, if None, the array index plus SPEECHKIT_SPLIT_OFFSET.

    Raises `UsageError` if there is neither.
    """
    names = ("SLURM_ARRAY_TASK_ID", "SPEECHKIT_SPLIT_OFFSET")
    index, offset = (os.environ.get(name, "") for name in names)
    try:
        if text is not None:
            return int(text)
        return int(index) + int(offset or 0)
    except ValueError:
        raise UsageError(
            "which split? Run as a job array (sbatch --array=0-29 …), or give --split N"
        ) from None


def begin(layout: Layout, options: TaskOptions) -> SplitTask:
    """Log the beginning of an attempt. Raises `UsageError` for a split that doesn't exist."""
    count = len(layout.index.splits)
    if not 0 <= options.split < count:
        raise UsageError(
            f"split {options.split}: {layout.splits} has {count}, from 0 to {count - 1}"
        )
    output = layout.result(options.split)
    attempt = attempts.begin(output)
    try:
        layout.require_source(options.split)
    except SpeechkitError as e:
        attempts.finish(output, _end(output, e.exit_code, str(e)))
        raise
    return SplitTask(layout=layout, options=options, attempt=attempt)


def supervise(task: SplitTask) -> TaskEnd:
    """Run the stage over the split and log the end of the attempt.

    If SLURM's warning drained the stage, or something killed it, the task is queued again, unless
    its last ``requeues`` attempts finished no utterance.
    """
    output = task.output
    with failure_file() as file:
        code, heard = _run(_command(task), file)
        outcome = file.read()
    if code in (0, 3):
        task.layout.copy_index()
        attempts.finish(output, _end(output, code))
        return TaskEnd(task.split, code)
    exit_code, notice, resumable = _cause(code, heard)
    end = _end(output, exit_code, notice or (outcome.message if outcome else ""))
    if resumable and task.options.requeueable:
        end = _requeue(output, task.job, end, task.options.requeues)
    attempts.finish(output, end)
    return TaskEnd(task.split, exit_code, notice and end.reason)


def _command(task: SplitTask) -> list[str]:
    options = task.options
    return interpreter.command(
        "speechkit.cli",
        options.stage,
        *(str(task.layout.source(task.split)), "--output", str(task.output)),
        *("--metrics", str(task.layout.metrics(task.split))),
        *options.options,
    )


def _run(command: Sequence[str], file: FailureFile) -> tuple[int, set[int]]:
    """Run the stage. Return its exit code, negative for the signal that killed it, and the signals
    passed on to it."""
    heard: set[int] = set()
    process: subprocess.Popen[bytes] | None = None

    def hear(number: int, _: FrameType | None) -> None:
        heard.add(number)
        if process:
            process.send_signal(number)

    before = {number: signal.signal(number, hear) for number in DRAIN_SIGNALS}
    try:
        # Nodes of a cluster have a cache but no network.
        environment = {"HF_HUB_OFFLINE": "1", **os.environ, **file.variables}
        process = subprocess.Popen(command, env=environment, pass_fds=file.descriptors)
        for number in set(heard):
            process.send_signal(number)
        return process.wait(), heard
    finally:
        # A further signal must not end the task before it has logged this one.
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if heard else handler)


def _cause(code: int, heard: set[int]) -> tuple[int, str, bool]:
    """The task's exit code, the reason if the stage couldn't give one, and whether the task may be
    queued again."""
    unfinished = code in (DRAINED, -signal.SIGKILL) or -code in heard
    if unfinished and heard & {signal.SIGTERM, signal.SIGINT}:
        # SLURM queues the task again, or it is no longer needed.
        return DRAINED, "ended by SIGTERM: cancelled, preempted or out of time", False
    if code == -signal.SIGKILL:
        return DRAINED, "killed (signal 9); out of memory?", True
    if unfinished:
        return DRAINED, "stopped by SIGUSR1" if heard else "stalled", True
    if code < 0:
        return 1, f"killed by signal {-code} ({signal.strsignal(-code)})", False
    return code, "", False


def _requeue(output: Path, job: int, end: End, limit: int) -> End:
    """Queue the task again, unless its attempts are fruitless. Returns the end with the result."""
    requeued = replace(end, requeued=True)
    attempts.finish(output, requeued)  # before SLURM ends this process
    fruitless = attempts.fruitless(attempts.read(output), job)
    if fruitless >= limit:
        return replace(
            end, reason=f"{end.reason}; not queued again: {fruitless} in a row finished nothing"
        )
    try:
        slurm.requeue_own_task()
    except SchedulerFailed as e:
        return replace(end, reason=f"{end.reason}; not queued again: {e}")
    return replace(requeued, reason=f"{end.reason}; queued again with {end.done} utterances done")


def _end(output: Path, code: int, reason: str = "") -> End:
    return End(time.time(), output_status(output).results, code, reason=reason)
