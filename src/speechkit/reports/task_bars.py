"""The runs of several tasks on a time line, as inline SVG: a row a task, a bar a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from speechkit.reports.html.axes import Scale, time_labels, time_ticks
from speechkit.reports.html.charts import LEFT, RIGHT, WIDE
from speechkit.reports.html.markup import Html, element

ROW, TOP = 16, 6  # pixels


@dataclass(frozen=True, slots=True)
class Bar:
    """A run from ``start`` to ``end``, in seconds. ``kind``: one of those of the legend."""

    start: float
    end: float
    kind: str
    text: str


def task_bars(
    title: str, rows: Sequence[tuple[str, Iterable[Bar]]], kinds: Mapping[str, int], *, note: str
) -> Html:
    """``rows``: names and their bars. ``kinds``: the number of the colour of each kind of bar."""
    last = max((bar.end for _, bars in rows for bar in bars), default=1.0) or 1.0
    across = Scale(0.0, last, 2 * LEFT, WIDE - RIGHT)
    bottom = TOP + ROW * len(rows)
    drawn: list[Html] = []
    for number, (name, bars) in enumerate(rows):
        top = TOP + ROW * number
        shown = name if len(name) <= 18 else f"…{name[-17:]}"
        label = element("text", shown, element("title", name), x=across.start - 6, y=top + 11)
        drawn.append(element("g", label, class_="row"))
        drawn += [_bar(bar, across, top, kinds[bar.kind]) for bar in bars]
    for at, text in zip(ticks := time_ticks(0.0, last), time_labels(ticks), strict=True):
        x = across(at)
        drawn.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"))
        drawn.append(element("text", text, x=x, y=bottom + 16, class_="along"))
    svg = element(
        "svg",
        element("title", title),
        *drawn,
        role="img",
        viewBox=f"0 0 {WIDE} {bottom + 24}",
        class_="plot tasks",
    )
    legend = [_sample(kind, colour) for kind, colour in kinds.items()]
    return element(
        "figure",
        element("figcaption", title),
        svg,
        element("ul", *legend, class_="legend"),
        element("p", note, class_="note") if note else None,
        class_="chart",
    )


def _bar(bar: Bar, across: Scale, top: float, colour: int) -> Html:
    left = across(bar.start)
    return element(
        "rect",
        element("title", bar.text),
        x=left,
        y=top + 2,
        width=max(1.5, round(across(bar.end) - left, 1)),
        height=ROW - 4,
        class_=f"series-{colour} bar",
    )


def _sample(kind: str, colour: int) -> Html:
    bar = element("rect", width=24, height=10, class_=f"series-{colour} bar")
    return element("li", element("svg", bar, viewBox="0 0 24 10"), " ", kind)
