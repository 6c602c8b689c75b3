"""Texts about a training on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from speechkit.cluster.split_status import DONE, FAILED
from speechkit.cluster.training_status import TrainingStatus


@dataclass(frozen=True, slots=True)
class TrainingStatusReport:
    """A `Report` of a training's status."""

    status: TrainingStatus

    @property
    def exit_code(self) -> int:
        return 0 if self.status.state == DONE else 4

    def to_json(self) -> dict[str, Any]:
        return self.status.to_json()

    def view(self) -> str:
        return "\n".join(_lines(self.status))


def submitted_text(submitted: TrainingStatus | int, output: str) -> str:
    if isinstance(submitted, TrainingStatus):
        return f"submitted already\n{TrainingStatusReport(submitted).view()}"
    return f"job {submitted}: finetune\nto see its progress: speechkit slurm status {output}"


def _lines(status: TrainingStatus) -> Iterator[str]:
    yield f"{status.output}: training {status.state} (job {status.job})"
    if status.steps:
        loss = "" if status.loss is None else f", loss {status.loss:.4g}"
        wer = "" if status.wer is None else f", WER {100 * status.wer:.2f} %"
        yield f"  step {status.step} of {status.steps}{loss}{wer}; saved: step {status.saved}"
    if status.state == FAILED:
        log = f" ({status.log})" if status.log else ""
        yield f"  {status.reason}{log}"
        yield f"  to go on: speechkit slurm rerun {status.output}"
