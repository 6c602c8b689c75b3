"""The curves of a training, for the page of its run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from speechkit.cluster.training_history import TrainingHistory
from speechkit.reports.html.charts import Mark, Series, time_line
from speechkit.reports.html.markup import Html
from speechkit.reports.html.page import paragraph, table
from speechkit.reports.smoothing import SmoothedMean

SMOOTHED = 0.02  # share of a step in the smoothed loss
MOST_MARKS = 40
Points = Sequence[tuple[float, float | None]]


def training_curves(training: TrainingHistory) -> Iterator[Html]:
    done = max(training.steps, default=0)
    yield paragraph(f"{done:,} of {training.planned:,} steps.")
    marks = [Mark(float(step), kind) for step, kind in [*training.events][:MOST_MARKS]]
    loss = training.values("loss")
    lines = [Series("loss", loss), Series("smoothed", _smoothed(loss))]
    yield _curve("Loss", lines, unit="nats a token", marks=marks)
    if training.evaluations:
        yield from _evaluations(training)
    yield _curve("Norm of the gradients", [Series("norm", training.values("norm"))], marks=marks)
    yield _curve("Learning rate", [Series("rate", training.values("learning_rate"))])
    speed = Series("speed", training.values("examples_per_second"))
    yield _curve("Speed", [speed], unit="examples a second")
    yield _memory(training)
    if marks:
        rows = [[int(mark.at), mark.text] for mark in marks]
        yield table("Events that the charts mark", ["step", "event"], rows)


def _memory(training: TrainingHistory) -> Html:
    memory = [
        Series(name, [(step, value and value / 2**20) for step, value in training.values(field)])
        for name, field in (("process", "rss"), ("device", "device"))
    ]
    used = [one for one in memory if any(value for _, value in one.points)]
    return _curve("Memory", used, unit="MB")


def _curve(
    title: str, series: Sequence[Series], *, unit: str = "", marks: Sequence[Mark] = ()
) -> Html:
    return time_line(title, series, unit=unit, marks=marks, over_steps=True)


def _smoothed(points: Points) -> list[tuple[float, float | None]]:
    smoothed: list[tuple[float, float | None]] = []
    mean = SmoothedMean(SMOOTHED)
    for step, value in points:
        if value is not None:
            mean.add(value)
        smoothed.append((step, None if math.isnan(mean.value) else mean.value))
    return smoothed


def _evaluations(training: TrainingHistory) -> Iterator[Html]:
    found = training.rates()
    percent = [
        Series(name, [(step, 100 * rate) for step, rate in points])
        for name, points in found.items()
    ]
    yield _curve("Evaluations", percent, unit="%")
    rows = [
        [step, *(round(100 * rates[name], 2) if name in rates else None for name in found)]
        for step, rates in sorted(training.evaluations.items())
    ]
    yield table("Evaluations in %", ["step", *found], rows)
