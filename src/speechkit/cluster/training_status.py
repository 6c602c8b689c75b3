"""A training that was submitted to SLURM: its record, and how far it is.

The record is ``OUTPUT_DIR/slurm/training.json``, the log of attempts ``training.attempts`` there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechkit.cluster.run_history import read_history
from speechkit.cluster.split_status import (
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    AttemptLog,
    failure,
    read_attempt_log,
)
from speechkit.errors import SchedulerFailed, UsageError
from speechkit.io import atomic, safe_open, slurm, typed_json
from speechkit.io.slurm import Queued

_MOST_BYTES = 1 << 20  # of the record


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """A training in the folder ``output``. Both folders are absolute.

    ``options``: of `speechkit finetune`, with its inputs; ``folder``: where their relative paths
    begin. ``sbatch``: additional options for sbatch. ``requeues``: attempts in a row without a
    saved step after which the job isn't queued again.
    """

    options: tuple[str, ...]
    output: str
    folder: str
    sbatch: tuple[str, ...] = ()
    requeues: int = 0

    @property
    def logs(self) -> Path:
        return Path(self.output) / "slurm" / "logs"


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """``job``: the latest that was submitted."""

    plan: TrainingPlan
    job: int

    def save(self) -> None:
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        atomic.write_text(_record_path(self.plan.output), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatus:
    """``state``: done, running, queued or failed, for a ``reason``. ``step`` of ``steps``: computed
    last, with its ``loss``; ``wer``: measured last, as a share. None where there is none yet.
    ``saved``: step of the newest checkpoint. ``log``: with the messages of the last attempt.
    """

    output: str
    state: str
    job: int
    step: int
    steps: int
    saved: int
    loss: float | None
    wer: float | None
    reason: str = ""
    log: str = ""

    @property
    def is_live(self) -> bool:
        return self.state in (QUEUED, RUNNING)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_training(output: str) -> TrainingRecord | None:
    """None if no training was submitted. Raises `UsageError` for an invalid file."""
    path = _record_path(output)
    try:
        fields = typed_json.parse(safe_open.read_bounded(path, _MOST_BYTES))
        return typed_json.to_dataclass(TrainingRecord, fields)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as e:
        raise UsageError(f"{path}: no record of a submitted training ({e})") from e


def status(record: TrainingRecord) -> TrainingStatus:
    """How far a training is. Without SLURM, nothing is known of its queue."""
    output = record.plan.output
    log = read_attempt_log(attempts_name(output))
    job = _queued(record)
    step, steps, loss, wer = _progress(output)
    state = _state(output, log, job)
    return TrainingStatus(
        output=output,
        state=state,
        job=record.job,
        step=step,
        steps=steps,
        saved=steps_saved(output),
        loss=loss,
        wer=wer,
        reason=failure(log, job) if state == FAILED else "",
        log=log.attempts[-1].log if log.attempts else "",
    )


def attempts_name(output: str) -> Path:
    """By which `attempts` names the log of a training."""
    return Path(output) / "training"


def steps_saved(output: str) -> int:
    """The step of the newest checkpoint, 0 without one."""
    names = (path.name.partition("-")[2] for path in Path(output).glob("checkpoints/step-*"))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _state(output: str, log: AttemptLog, job: Queued | None) -> str:
    if job and job.lives:
        return RUNNING if job.runs else QUEUED
    return DONE if (Path(output) / "summary.json").is_file() else FAILED


def _queued(record: TrainingRecord) -> Queued | None:
    try:
        owner = _record_path(record.plan.output).stat().st_uid
        return next((one for one in slurm.queue(owner) if one.job == record.job), None)
    except (SchedulerFailed, OSError):
        return None


def _progress(output: str) -> tuple[int, int, float | None, float | None]:
    """The last step that was computed, all steps, the loss, and the WER measured last."""
    path = Path(output) / "metrics.jsonl"
    try:
        (training,) = read_history([str(path)]).trainings.values()
    except (UsageError, ValueError):  # it has yet to begin
        return 0, 0, None, None
    step, loss = max(training.values("loss"), default=(0, None))
    _, wer = max(training.rates().get("WER", ()), default=(0, None))
    return int(step), training.planned, loss, wer


def _record_path(output: str) -> Path:
    return Path(output) / "slurm" / "training.json"
