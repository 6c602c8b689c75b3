"""The progress of a training on stderr."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from speechkit.reports.progress import ProgressDisplay, clock
from speechkit.runtime.device_memory import device_memory
from speechkit.training.evaluation import Measured
from speechkit.training.watch import StepInfo

MEMORY = 0.95  # of the steps before in the smoothed values, at most


class TrainingDisplay(ProgressDisplay):
    """A `speechkit.training.watch.Listener`, and one of the `Progress` of data and evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0
        self._loss = self._seconds = math.nan

    def __enter__(self) -> TrainingDisplay:
        return self

    def step(self, info: StepInfo) -> None:
        self._steps += 1
        share = min(MEMORY, 1 - 1 / self._steps)
        self._loss = _smoothed(self._loss, info.result.loss, share)
        self._seconds = _smoothed(self._seconds, info.seconds, share)
        left = self._seconds * (info.steps - info.step)
        detail = (
            f"loss {self._loss:.3f}, rate {info.learning_rate:.2g}, norm {info.result.norm:.2g}, "
            f"{_speed(self._seconds)}{_memory()}, {clock(left)} left"
        )
        numbers = {
            "step": info.step,
            "steps": info.steps,
            "loss": None if math.isnan(self._loss) else self._loss,
            "learning_rate": info.learning_rate,
            "remaining": None if math.isnan(left) else round(left, 1),
        }
        self.show("finetune", info.step, info.steps, "steps", detail, numbers)

    def evaluated(self, measured: Measured) -> None:
        guards = "".join(
            f", guard {name} {100 * rates.wer:.2f} %" for name, rates in measured.guards.items()
        )
        when = f"step {measured.step}" if measured.step else "before the training"
        refused = f"; not the best: {measured.refused}" if measured.refused else ""
        self.say(
            f"finetune: {when}: WER {100 * measured.wer:.2f} %, CER {100 * measured.cer:.2f} %"
            f"{guards}{refused}",
            "evaluation",
            **asdict(measured),
        )

    def saved(self, step: int) -> None:
        pass

    def event(self, kind: str, **numbers: Any) -> None:
        said = ", ".join(f"{name} {_shown(value)}" for name, value in numbers.items())
        self.say(f"finetune: {kind.replace('_', ' ')}: {said}", kind, "warning", **numbers)


def _smoothed(before: float, now: float, share: float) -> float:
    """The exponential mean; a value that is no number changes nothing."""
    if not math.isfinite(now):
        return before
    return now if math.isnan(before) else share * before + (1 - share) * now


def _speed(seconds: float) -> str:
    return f"{1 / seconds:.2g} steps/s" if 0 < seconds < 1 else f"{seconds:.2g} s a step"


def _memory() -> str:
    held = device_memory()
    return f", {held / 2**30:.1f} GB" if held else ""


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
