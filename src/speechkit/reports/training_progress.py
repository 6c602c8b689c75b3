"""The progress of a training on stderr."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from speechkit.reports.progress import ProgressDisplay, clock
from speechkit.reports.smoothing import SmoothedMean
from speechkit.runtime.device_memory import device_memory
from speechkit.training.evaluation import Measured
from speechkit.training.watch import StepInfo

LATEST = 0.05  # share of a step in the smoothed values


class TrainingDisplay(ProgressDisplay):
    """A `speechkit.training.watch.Listener`, and one of the `Progress` of data and evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self._loss, self._seconds = SmoothedMean(LATEST), SmoothedMean(LATEST)

    def __enter__(self) -> TrainingDisplay:
        return self

    def step(self, info: StepInfo) -> None:
        self._loss.add(info.result.loss)
        self._seconds.add(info.seconds)
        loss, seconds = self._loss.value, self._seconds.value
        left = seconds * (info.steps - info.step)
        detail = (
            f"loss {loss:.3f}, rate {info.learning_rate:.2g}, norm {info.result.norm:.2g}, "
            f"{_speed(seconds)}{_memory()}, {clock(left)} left"
        )
        numbers = {
            "step": info.step,
            "steps": info.steps,
            "loss": None if math.isnan(loss) else loss,
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


def _speed(seconds: float) -> str:
    return f"{1 / seconds:.2g} steps/s" if 0 < seconds < 1 else f"{seconds:.2g} s a step"


def _memory() -> str:
    held = device_memory()
    return f", {held / 2**30:.1f} GB" if held else ""


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
