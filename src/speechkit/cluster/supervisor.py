"""The supervisor of one split or of a training: it runs it, drains it, and queues the job again.

What it supervises runs in a process of its own, so that the reason of any end can be logged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
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
FINISHED = (0, 3)
SIGNALLED = 128  # and more: exit codes of a launcher whose processes were killed


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is supervised.

    ``output``: names the log of attempts. ``done``: counts what is done so far, in ``unit``.
    ``requeues``: attempts in a row that finished nothing after which the job isn't queued again.
    ``requeueable``: the job runs this alone, so that it may be queued again.
    """

    output: Path
    command: Sequence[str]
    done: Callable[[], int]
    unit: str
    requeues: int
    requeueable: bool

    def end(self, code: int, reason: str = "") -> End:
        return End(time.time(), self.done(), code, reason=reason)


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
    attempt = attempts.begin(output, output_status(output).results)
    task = SplitTask(layout=layout, options=options, attempt=attempt)
    try:
        layout.require_source(options.split)
    except SpeechkitError as e:
        attempts.finish(output, _work(task).end(e.exit_code, str(e)))
        raise
    return task


def supervise_split(task: SplitTask) -> TaskEnd:
    """Run the stage over the split, as `supervise`."""
    code, notice = supervise(_work(task), task.job)
    if code in FINISHED:
        task.layout.copy_index()
    return TaskEnd(task.split, code, notice)


def supervise(work: Work, job: int) -> tuple[int, str]:
    """Do the work and log the end of the attempt. Returns the exit code, and the supervisor's
    reason for the end, "" if the work itself has given one.

    If SLURM's warning drained the work, or something killed it, the job is queued again, unless its
    last ``requeues`` attempts finished nothing.
    """
    with failure_file() as file:
        code, heard = _run(work.command, file)
        outcome = file.read()
    if code in FINISHED:
        attempts.finish(work.output, work.end(code))
        return code, ""
    exit_code, notice, resumable = _cause(code, heard)
    end = work.end(exit_code, notice or (outcome.message if outcome else ""))
    if resumable and work.requeueable:
        end = _requeue(work, job, end)
    attempts.finish(work.output, end)
    return exit_code, notice and end.reason


def _work(task: SplitTask) -> Work:
    options, output = task.options, task.output
    command = interpreter.command(
        "speechkit.cli",
        options.stage,
        *(str(task.layout.source(task.split)), "--output", str(output)),
        *("--metrics", str(task.layout.metrics(task.split))),
        *options.options,
    )
    return Work(
        output=output,
        command=command,
        done=lambda: output_status(output).results,
        unit="utterances",
        requeues=options.requeues,
        requeueable=options.requeueable,
    )


def _run(command: Sequence[str], file: FailureFile) -> tuple[int, set[int]]:
    """Return the exit code of the command, negative for the signal that killed it, and the signals
    that were passed on to it."""
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
        code = process.wait()
        # A shell's word, and srun's, for a signal.
        return (SIGNALLED - code if code > SIGNALLED else code), heard
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


def _requeue(work: Work, job: int, end: End) -> End:
    """Queue the job again, unless its attempts are fruitless. Returns the end with the result."""
    requeued = replace(end, requeued=True)
    attempts.finish(work.output, requeued)  # before SLURM ends this process
    fruitless = attempts.fruitless(attempts.read(work.output), job)
    if fruitless >= work.requeues:
        return replace(
            end, reason=f"{end.reason}; not queued again: {fruitless} in a row finished nothing"
        )
    try:
        slurm.requeue_own_job()
    except SchedulerFailed as e:
        return replace(end, reason=f"{end.reason}; not queued again: {e}")
    return replace(requeued, reason=f"{end.reason}; queued again with {end.done} {work.unit} done")
