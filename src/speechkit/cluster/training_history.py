"""The steps, evaluations and events of a training, from the metrics of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STEP_FIELDS = ("loss", "norm", "learning_rate", "examples_per_second", "rss", "device")
MOST_STEPS = 20_000  # kept of a training; of a longer one every second, fourth … step
MOST_EVENTS, MOST_NAME = 1000, 300  # events, and characters of a guard's name
EVENTS = ("step_skipped", "step_without_examples", "high_norm", "returned")


@dataclass(slots=True)
class TrainingHistory:
    """By step; a step that was computed twice, because a run was killed after it, counts as it was
    computed last.

    ``steps``: the values of `STEP_FIELDS`, None where there is none, of each ``every`` steps.
    ``planned``: steps in all. ``evaluations``: WER, CER and the WER of each guard, as shares.
    ``events``: what happened, by its step and name.
    """

    steps: dict[int, tuple[float | None, ...]] = field(default_factory=dict)
    planned: int = 0
    every: int = 1
    evaluations: dict[int, dict[str, float]] = field(default_factory=dict)
    events: dict[tuple[int, str], None] = field(default_factory=dict)

    def values(self, name: str) -> list[tuple[float, float | None]]:
        """Those of one of `STEP_FIELDS`, by rising step."""
        place = STEP_FIELDS.index(name)
        return [(step, self.steps[step][place]) for step in sorted(self.steps)]

    def rates(self) -> dict[str, list[tuple[float, float]]]:
        """The rates by what was measured, by rising step."""
        names = dict.fromkeys(name for rates in self.evaluations.values() for name in rates)
        return {
            name: [
                (step, rates[name])
                for step, rates in sorted(self.evaluations.items())
                if name in rates
            ]
            for name in names
        }

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line of the metrics, which anybody may have written."""
        step = _number(line.get("step"))
        if step is None or step < 0:
            return
        kind = line.get("event")
        if kind == "step":
            self._add_step(int(step), line)
        elif kind == "evaluation":
            self._add_evaluation(int(step), line)
        elif kind in EVENTS and len(self.events) < MOST_EVENTS:
            self.events[int(step), str(kind).replace("_", " ")] = None

    def _add_step(self, step: int, line: Mapping[str, Any]) -> None:
        self.planned = int(_number(line.get("steps")) or 0)
        if step % self.every:
            return
        seconds, examples = _number(line.get("seconds")), _number(line.get("examples"))
        speed = examples / seconds if seconds and examples is not None else None
        values = {**line, "examples_per_second": speed}
        self.steps[step] = tuple(_number(values.get(name)) for name in STEP_FIELDS)
        if len(self.steps) > MOST_STEPS:
            self.every *= 2
            self.steps = {n: kept for n, kept in self.steps.items() if n % self.every == 0}

    def _add_evaluation(self, step: int, line: Mapping[str, Any]) -> None:
        rates = {"WER": _number(line.get("wer")), "CER": _number(line.get("cer"))}
        guards = line.get("guards")
        for name, guard in guards.items() if isinstance(guards, Mapping) else ():
            if isinstance(guard, Mapping):
                rates[f"guard {name}"[:MOST_NAME]] = _number(guard.get("wer"))
        self.evaluations[step] = {name: rate for name, rate in rates.items() if rate is not None}


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e15 else None
