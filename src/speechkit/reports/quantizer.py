"""The report of the training of a quantizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from speechkit.stages.s2s.quantizer_training import Training


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A `Report` of a `Training`."""

    training: Training

    @property
    def exit_code(self) -> int:
        return 3 if self.training.failed else 0

    def view(self) -> str:
        training = self.training
        failed = f", {training.failed} failed" if training.failed else ""
        return (
            f"{training.quantizer}: {training.clusters} units, fitted to {training.frames} frames "
            f"of {training.utterances} utterances{failed}; mean squared distance "
            f"{training.inertia:.4f}"
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self.training), "exit_code": self.exit_code}
