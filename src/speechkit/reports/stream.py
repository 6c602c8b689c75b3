"""The report of a stream, and the line of a terminal that shows what is being said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit.reports.plurals import counted
from speechkit.reports.progress import clock
from speechkit.serving.stream.summary import StreamSummary


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A `Report` of a stream."""

    summary: StreamSummary

    @property
    def exit_code(self) -> int:
        return self.summary.exit_code

    def to_json(self) -> dict[str, Any]:
        return self.summary.to_json()

    def view(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        summary = self.summary
        target = f" -> {Path(summary.output)}" if summary.output else ""
        yield (
            f"stream: {clock(summary.audio_seconds)} of {summary.source}, "
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
            by = "" if summary.clock == "wall" else " of audio, computing left out"
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
