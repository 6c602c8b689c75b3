"""Charts as inline SVG: a histogram, a list of bars, lines over time, a spectrogram.

`page` shows their use.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from speechkit.reports.html.axes import Scale, ticks, time_labels, time_ticks
from speechkit.reports.html.markup import Html, element, number

WIDE, NARROW = 720, 420  # pixels of a chart
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 26  # pixels around its plot
COLOURS = 6  # of series, in page.css


@dataclass(frozen=True, slots=True)
class Series:
    """A line: ``points`` are times in seconds, in order, and values; None where there is none, so
    that the line has a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Mark:
    """An event at a time in seconds."""

    at: float
    text: str


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    unit: str = "",
    note: str = "",
    limits: Sequence[float] = (),
) -> Html:
    """``counts[i]`` values lie from ``edges[i]`` to ``edges[i + 1]``.

    ``note``: a sentence about the values. ``limits``: thresholds, drawn as dashed lines.
    """
    plot = _Plot(NARROW, 180, x=(edges[0], edges[-1]), y=(0.0, float(max(*counts, 1))))
    bars = []
    for (low, high), count in zip(pairwise(edges), counts, strict=True):
        left, right = plot.x(low), plot.x(high)
        name = f"{number(low)} to {number(high)} {unit}".rstrip()
        bars.append(
            element(
                "rect",
                element("title", f"{name}: {count:,}"),
                x=left,
                y=plot.y(count),
                width=max(0.5, round(right - left - 0.5, 1)),
                height=round(plot.y(0) - plot.y(count), 1),
                class_="series-0 bar",
            )
        )
    along = ticks(edges[0], edges[-1])
    said = [number(tick) for tick in along]
    drawn = [*bars, *(plot.upright(limit, "limit") for limit in limits)]
    return plot.figure(title, unit, along, said, drawn, note=note)


def bar_list(title: str, items: Iterable[tuple[str, float]], *, unit: str = "") -> Html:
    """Names with their values, each with a bar as long as its value."""
    rows = list(items)
    longest = max((value for _, value in rows), default=0) or 1
    lines = []
    for name, value in rows:
        width = round(100 * max(0.0, value) / longest, 2)
        bar = element("rect", width=width, height=10, class_="series-0 bar")
        cells = [
            element("th", name, scope="row"),
            element("td", f"{number(value)} {unit}".rstrip(), class_="number"),
            element(
                "td",
                element("svg", bar, viewBox="0 0 100 10", preserveAspectRatio="none"),
                aria_hidden="true",
            ),
        ]
        lines.append(element("tr", *cells))
    return element(
        "table", element("caption", title), element("tbody", *lines), class_="bars chart"
    )


def time_line(
    title: str,
    series: Sequence[Series],
    *,
    unit: str = "",
    marks: Sequence[Mark] = (),
    span: tuple[float, float] | None = None,
    note: str = "",
    over_steps: bool = False,
) -> Html:
    """Lines over time. ``span``: the first and the last second shown; all of them if not given.

    ``over_steps``: the times are steps of a training.
    """
    ticks_of, said_of = (ticks, _numbers) if over_steps else (time_ticks, time_labels)
    start, end = span or _range(
        [*(time for one in series for time, _ in one.points), *(mark.at for mark in marks)]
    )
    values = (value for one in series for _, value in one.points if value is not None)
    plot = _Plot(WIDE, 220, x=(start, end), y=_range([0.0, *filter(math.isfinite, values)]))
    drawn: list[Html] = [
        element("path", element("title", one.name), d=_path(one.points, plot), class_=_line(index))
        for index, one in enumerate(series)
    ]
    for mark in marks:
        label = f"{said_of([mark.at])[0]}: {mark.text}"
        drawn.append(plot.upright(mark.at, "mark", label))
    along = ticks_of(start, end)
    legend = [(one.name, _line(index)) for index, one in enumerate(series)]
    legend += [("event", "mark")] * bool(marks)
    return plot.figure(title, unit, along, said_of(along), drawn, note=note, legend=legend)


def spectrogram(
    title: str, png: bytes, *, span: tuple[float, float], top: float, marks: Sequence[Mark] = ()
) -> Html:
    """A picture of frequencies from 0 to ``top`` Hz over time. ``span``: its seconds."""
    plot = _Plot(NARROW, 150, x=span, y=(0.0, top / 1000))
    left, upper = plot.x(span[0]), plot.y(top / 1000)
    image = element(
        "image",
        href=f"data:image/png;base64,{base64.b64encode(png).decode()}",
        x=left,
        y=upper,
        width=round(plot.x(span[1]) - left, 1),
        height=round(plot.y(0) - upper, 1),
        preserveAspectRatio="none",
    )
    lines = [plot.upright(mark.at, "mark", mark.text) for mark in marks]
    along = ticks(*span, most=5)
    said = [f"{number(time)} s" for time in along]
    return plot.figure(title, "kHz", along, said, [image, *lines])


class _Plot:
    """The area in which values are drawn, and what surrounds it."""

    def __init__(
        self, width: int, height: int, *, x: tuple[float, float], y: tuple[float, float]
    ) -> None:
        self.width, self.height = width, height
        self.up = ticks(*y, most=5)
        high = self.up[-1] if self.up[-1] >= y[1] else 2 * self.up[-1] - self.up[-2]
        self.up += [high] * (high > self.up[-1])
        self.x = Scale(*x, LEFT, width - RIGHT)
        self.y = Scale(min(y[0], self.up[0]), high, height - BOTTOM, TOP)

    def upright(self, at: float, kind: str, label: str = "") -> Html:
        """A line from top to bottom."""
        return element(
            "line",
            element("title", label) if label else None,
            x1=self.x(at),
            x2=self.x(at),
            y1=TOP,
            y2=self.y(self.y.low),
            class_=kind,
        )

    def figure(
        self,
        title: str,
        unit: str,
        along: Sequence[float],
        said: Sequence[str],
        drawn: Iterable[Html],
        *,
        note: str = "",
        legend: Sequence[tuple[str, str]] = (),
    ) -> Html:
        """The whole chart: a grid, ticks at ``along`` that say ``said``, what is drawn, a caption
        and the names of the lines with their classes."""
        svg = element(
            "svg",
            element("title", title),
            element("desc", note) if note else None,
            *self._grid(along, said),
            *drawn,
            role="img",
            viewBox=f"0 0 {self.width} {self.height}",
            class_="plot",
        )
        caption = element("figcaption", title, f" ({unit})" if unit else None)
        names = [
            element("li", element("svg", _sample(kind), viewBox="0 0 24 10"), " ", name)
            for name, kind in legend
        ]
        return element(
            "figure",
            caption,
            svg,
            element("ul", *names, class_="legend") if names else None,
            element("p", note, class_="note") if note else None,
            class_="chart" if self.width == WIDE else "narrow chart",
        )

    def _grid(self, along: Sequence[float], said: Sequence[str]) -> Iterator[Html]:
        left, right = self.x.start, self.x.end
        for value in self.up:
            at = self.y(value)
            yield element("line", x1=left, x2=right, y1=at, y2=at, class_="grid")
            yield element("text", number(value), x=left - 6, y=at + 4, class_="up")
        bottom = self.y(self.y.low)
        for value, text in zip(along, said, strict=True):
            at = self.x(value)
            yield element("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="tick")
            yield element("text", text, x=at, y=bottom + 18, class_="along")


def _numbers(values: Sequence[float]) -> list[str]:
    return [number(value) for value in values]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest; never the same."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return low, high if high > low else low + 1


def _line(index: int) -> str:
    """The class of a series. From the second round of colours on, lines are dashed."""
    dashed = " dashed" if index >= COLOURS else ""
    return f"series-{index % COLOURS} line{dashed}"


def _sample(kind: str) -> Html:
    return element("line", x1=0, x2=24, y1=5, y2=5, class_=kind)


def _path(points: Sequence[tuple[float, float | None]], plot: _Plot) -> str:
    """The commands of an SVG path with a new start after each gap."""
    commands, pen = [], "M"
    for time, value in _thinned(points, plot):
        if value is None or not math.isfinite(value):
            pen = "M"
            continue
        commands.append(f"{pen}{plot.x(time):g} {plot.y(value):g}")
        if pen == "M":
            commands.append("h0")  # with round ends, a single point shows
        pen = "L"
    return "".join(commands)


def _thinned(
    points: Sequence[tuple[float, float | None]], plot: _Plot
) -> Iterator[tuple[float, float | None]]:
    """At most four points for a pixel: the first, the least, the greatest and the last, or a gap
    before the next one."""
    if len(points) <= 2 * plot.width:
        yield from points
        return
    column: list[tuple[float, float | None]] = []
    for point in points:
        if column and int(plot.x(point[0])) != int(plot.x(column[0][0])):
            yield from _extremes(column)
            column = []
        column.append(point)
    yield from _extremes(column)


def _extremes(
    column: Sequence[tuple[float, float | None]],
) -> Iterator[tuple[float, float | None]]:
    there = [(time, value) for time, value in column if value is not None]
    if there:
        least = min(there, key=lambda point: point[1])
        greatest = max(there, key=lambda point: point[1])
        yield from sorted({there[0], least, greatest, there[-1]})
    if column[-1][1] is None:
        yield column[-1]
