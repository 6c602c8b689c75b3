"""SLURM, through its own commands."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechkit.errors import SchedulerFailed

#: Variables of the job that submits; a new job must not inherit them.
_OF_A_JOB = re.compile(r"SLURM_(?!CONF$)")
_ANSWER_SECONDS = 60.0  # not for sbatch, which must not be cut off halfway


@dataclass(frozen=True, slots=True)
class Queued:
    """A job or a task of a job array (``index``; None for a plain job). ``job``: its own number.
    ``state``: SLURM's word, as RUNNING or PENDING, and for a while after its end TIMEOUT, …"""

    array: int
    index: int | None
    job: int
    state: str

    @property
    def runs(self) -> bool:
        return self.state in ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "SUSPENDED")

    @property
    def waits(self) -> bool:
        return self.state in (
            *("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"),
            *("SPECIAL_EXIT", "RESIZING", "STOPPED"),
        )

    @property
    def lives(self) -> bool:
        return self.runs or self.waits


def submit(
    script: Path,
    arguments: Sequence[str],
    options: Sequence[str],
    environment: Mapping[str, str],
) -> int:
    """Return the number of the new job, which inherits this environment and ``environment``."""
    inside = "SLURM_JOB_ID" in os.environ
    inherited = {k: v for k, v in os.environ.items() if not (inside and _OF_A_JOB.match(k))}
    command = ["sbatch", "--parsable", "--export=ALL", *options, str(script), *arguments]
    answer = _ask(command, {**inherited, **environment})
    return int(answer.strip().partition(";")[0])  # a cluster's name may follow


def array_limit() -> int:
    """The largest number of tasks in an array, whose indices are below it."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask(["scontrol", "show", "config"]), re.M)
    if not match:
        raise SchedulerFailed("scontrol show config: names no MaxArraySize")
    return int(match[1])


def queue(user: int) -> list[Queued]:
    """All jobs and tasks of a user that SLURM knows, including those that ended recently."""
    known = ["squeue", "--noheader", "--array", "--states=all", f"--user={user}"]
    lines = _ask([*known, "--format=%F|%K|%A|%T"]).splitlines()
    jobs = []
    for line in lines:
        array, index, job, state = line.split("|")
        jobs.append(Queued(int(array), int(index) if index.isdecimal() else None, int(job), state))
    return jobs


def requeue_own_job() -> None:
    """End this job, or this task of a job array, and queue it again."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        # By its place in the array: the last task's own number is that of the whole array.
        job = "{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}".format(**os.environ)
    _ask(["scontrol", "requeue", job])


def cancel(job: int) -> None:
    _ask(["scancel", str(job)])


def _ask(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Return the output of a command. Raises `SchedulerFailed` with SLURM's own words."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=None if command[0] == "sbatch" else _ANSWER_SECONDS,
        )
    except FileNotFoundError as e:
        raise SchedulerFailed(f"{command[0]}: not found; is this a machine with SLURM?") from e
    except subprocess.TimeoutExpired as e:
        raise SchedulerFailed(f"{command[0]}: no answer in {_ANSWER_SECONDS:g} s") from e
    if done.returncode:
        words = done.stderr.strip().replace("\n", "; ") or f"ended with {done.returncode}"
        raise SchedulerFailed(f"{command[0]} refused: {words}")
    return done.stdout
