"""One split through a stage, as a task of a job array: watched, told on, queued again.

The stage runs as a process of its own, so that whatever ends it, somebody is left to say so.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from speechkit.cluster import attempts
from speechkit.cluster.attempts import End
from speechkit.cluster.layout import Layout
from speechkit.errors import SchedulerFailed, SpeechkitError, UsageError
from speechkit.io import slurm
from speechkit.io.machine import gpu_memory, granted_cpus
from speechkit.io.output_status import output_status
from speechkit.runtime import interpreter
from speechkit.runtime.messages import DRAIN_SIGNALS

DRAINED = 75
#: Windows at once on a GPU with more than so many GiB; an engine takes fewer where they don't fit.
BATCH_SIZES = ((70, 16), (35, 8), (0, 4))
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """``options`` are the stage's. ``sized``: they leave the engine a batch size to be told.
    ``requeues``: after so many tries in a row that finished nothing the job isn't queued again.
    ``own_task``: the split is that of SLURM's task, which may be queued again for it."""

    stage: str
    split: int
    options: Sequence[str]
    sized: bool
    requeues: int
    own_task: bool


@dataclass(frozen=True, slots=True)
class TaskResult:
    exit_code: int
    text: str


def split_number(text: str | None) -> int:
    """The split of this task: ``text``, else the array's index after SPLIT_OFFSET others.

    Raises `UsageError` where there is neither.
    """
    names = ("SLURM_ARRAY_TASK_ID", "SPLIT_OFFSET")
    index, offset = (os.environ.get(name, "") for name in names)
    try:
        if text is not None:
            return int(text)
        return int(index) + int(offset or 0)
    except ValueError:
        raise UsageError(
            "which split? Run as a job array (sbatch --array=0-29 …), or give --split N"
        ) from None


def run_task(layout: Layout, options: TaskOptions) -> TaskResult:
    """Runs the stage over one split and records the try.

    Stopped by SLURM's warning or killed outright, it queues its job again, unless the last
    ``requeues`` tries have finished nothing. Raises `UsageError` for a split that isn't there.
    """
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
        attempts.finish(output, _end(output, e.exit_code, reason=str(e)))
        raise
    memory = gpu_memory() if options.sized else 0
    batch = next((size for least, size in BATCH_SIZES if memory > least * _GIB), None)
    print(_headline(options.split, count, memory, batch), file=sys.stderr, flush=True)
    code, heard = _supervise(_command(layout, options, batch))
    if code in (0, 3):
        layout.keep_index()
        attempts.finish(output, _end(output, code))
        return TaskResult(code, "")
    exit_code, reason, again = _cause(code, heard)
    end = _end(output, exit_code, reason=reason)
    if again and options.own_task:
        end = _queued_again(output, attempt.job, end, options.requeues)
    attempts.finish(output, end)
    return TaskResult(exit_code, end.reason and f"split {options.split}: {end.reason}")


def _headline(split: int, count: int, memory: int, batch: int | None) -> str:
    job = os.environ.get("SLURM_JOB_ID")
    restarts = os.environ.get("SLURM_RESTART_COUNT")
    where = f"job {job}, " + f"restart {restarts}, " * bool(restarts) if job else ""
    gpu = f", a GPU of {memory / _GIB:.0f} GiB: batch size {batch}" if batch else ""
    return f"split {split} of {count} ({where}{granted_cpus()} CPUs{gpu})"


def _command(layout: Layout, options: TaskOptions, batch: int | None) -> list[str]:
    return interpreter.command(
        "speechkit.cli",
        options.stage,
        *(str(layout.source(options.split)), "--output", str(layout.result(options.split))),
        *(["--batch-size", str(batch)] if batch else []),
        *options.options,
    )


def _supervise(command: Sequence[str]) -> tuple[int, set[int]]:
    """Its exit code, negative for the signal that killed it, and the signals passed on to it."""
    heard: set[int] = set()
    process: subprocess.Popen[bytes] | None = None

    def hear(number: int, _: FrameType | None) -> None:
        heard.add(number)
        if process:
            process.send_signal(number)

    before = {number: signal.signal(number, hear) for number in DRAIN_SIGNALS}
    try:
        # What nodes of a cluster have is a cache, and no network.
        environment = {"HF_HUB_OFFLINE": "1", **os.environ}
        process = subprocess.Popen(command, env=environment)
        for number in set(heard):
            process.send_signal(number)
        return process.wait(), heard
    finally:
        # One more must not end the task before it has recorded this one and told of it.
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if heard else handler)


def _cause(code: int, heard: set[int]) -> tuple[int, str, bool]:
    """The exit code, why the stage ended, and whether the task is to go on by itself."""
    unfinished = code in (DRAINED, -signal.SIGKILL) or -code in heard
    if unfinished and heard & {signal.SIGTERM, signal.SIGINT}:
        # Then SLURM queues it again, or nobody wants it any more.
        return DRAINED, "ended by SIGTERM: cancelled, preempted or out of time", False
    if code == -signal.SIGKILL:
        return DRAINED, "killed (signal 9); out of memory?", True
    if unfinished:
        return DRAINED, "stopped by SIGUSR1" if heard else "stalled", True
    if code < 0:
        return 1, f"killed by signal {-code} ({signal.strsignal(-code)})", False
    return code, "", False  # the stage has said why


def _queued_again(output: Path, job: int, end: End, limit: int) -> End:
    """Queues the job again, unless that has led to nothing; the try's end with what was done."""
    again = replace(end, requeued=True)
    attempts.finish(output, again)  # before SLURM ends this process
    fruitless = attempts.fruitless(attempts.read(output), job)
    if fruitless >= limit:
        return replace(
            end, reason=f"{end.reason}; not queued again: {fruitless} in a row finished nothing"
        )
    try:
        slurm.requeue_own_task()
    except SchedulerFailed as e:
        return replace(end, reason=f"{end.reason}; not queued again: {e}")
    return replace(again, reason=f"{end.reason}; queued again with {end.done} utterances done")


def _end(output: Path, code: int, *, reason: str = "") -> End:
    return End(time.time(), output_status(output).answered, code, reason=reason)
