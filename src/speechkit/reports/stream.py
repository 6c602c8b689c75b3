"""The report of a stream, and its progress where no terminal shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from speechkit.io.file_names import shown
from speechkit.reports.plurals import counted
from speechkit.reports.progress import PLAIN_SECONDS, clock
from speechkit.reports.summary_report import SummaryReport
from speechkit.runtime.logs import say
from speechkit.serving.stream.events import End, Event
from speechkit.serving.stream.summary import StreamSummary


class StreamProgress:
    """A viewer of events: a line on stderr every 30 s. ``seconds``: of the audio, if known."""

    def __init__(self, seconds: float | None) -> None:
        self._of = "" if seconds is None else f" of {clock(seconds)}"
        self._last_line = time.monotonic()

    def write(self, event: Event) -> None:
        if not isinstance(event, End) and time.monotonic() - self._last_line > PLAIN_SECONDS:
            self._last_line = time.monotonic()
            heard = f"stream: {clock(event.end)}{self._of} heard"
            say(heard, "progress", seconds=round(event.end, 3))


@dataclass(frozen=True, slots=True)
class StreamReport(SummaryReport[StreamSummary]):
    """A `Report` of a stream."""

    def _lines(self) -> Iterator[str]:
        summary = self.summary
        target = f" -> {shown(summary.output)}" if summary.output else ""
        yield (
            f"stream: {clock(summary.audio_seconds)} of {shown(summary.source)}, "
            f"{counted(summary.words, 'word')} in {counted(summary.finals, 'final')}{target}"
        )
        gaps = ", ".join(f"{reason} {seconds:.1f} s" for reason, seconds in summary.gaps.items())
        if gaps:
            yield f"  gaps: {gaps}"
        if summary.flags:
            doubts = ", ".join(f"{count} {flag}" for flag, count in summary.flags.items())
            yield f"  flagged finals: {doubts}"
        if summary.real_time_factor is None:
            yield "  complete already, nothing computed (--restart computes it again)"
        else:
            yield from self._work()

    def _work(self) -> Iterator[str]:
        summary = self.summary
        latency, behind = summary.latency, summary.behind
        if latency["p50"] is not None:
            by = "" if summary.clock == "wall" else ", if computing took no time"
            yield (
                f"  from the end of a word to its final: {latency['p50']:.2f} s at the median, "
                f"{latency['p90']:.2f} s for nine in ten{by}"
            )
        yield (
            f"  computing took {summary.real_time_factor:.0%} of real time, "
            f"{summary.peak_memory / 2**20:.0f} MB of memory"
        )
        if summary.clock == "wall" and behind["p50"] is not None:
            yield (
                f"  behind the audio by {behind['p50']:.2f} s at the median, "
                f"{behind['most']:.2f} s at most"
            )
        if summary.resumed_seconds:
            yield f"  {clock(summary.resumed_seconds)} of it were heard by an earlier run"
