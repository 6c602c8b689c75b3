"""The report of a stage's run, and of the text files beside its output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit.io.file_names import shown
from speechkit.reports.plurals import counted
from speechkit.reports.summary_report import SummaryReport
from speechkit.runtime.export import Written
from speechkit.runtime.summary import Summary

_LISTED = 10  # files in a message


@dataclass(frozen=True, slots=True)
class RunReport(SummaryReport[Summary]):
    """A `Report` of a stage's run."""

    def _lines(self) -> Iterator[str]:
        summary = self.summary
        target = f" -> {Path(summary.output)}" if summary.output else ""
        yield (
            f"{summary.stage}: {counted(summary.utterances, 'utterance')}, "
            f"{summary.failed} failed{target}"
        )
        if summary.done:
            yield from self._work()
        elif summary.utterances:
            yield "  complete already, nothing computed (--restart computes it again)"
        for kind, count in summary.errors.items():
            yield f"  {count} x {kind}"
        if summary.flags:
            doubts = ", ".join(f"{count} {flag}" for flag, count in summary.flags.items())
            yield f"  flagged utterances: {doubts}"
        if summary.errors and summary.output:
            yield "  the reasons are in the output; --retry-failed runs only these again"
        if summary.written:
            yield written_text(summary.written)

    def _work(self) -> Iterator[str]:
        summary = self.summary
        speed = summary.audio_seconds / summary.wall_seconds if summary.wall_seconds else 0.0
        yield (
            f"  {summary.audio_seconds:.1f} s of audio in {summary.wall_seconds:.1f} s "
            f"({speed:.0f}x real time), the first result after "
            f"{summary.first_result_seconds:.1f} s, "
            f"{summary.peak_memory / 2**20:.0f} MB in the largest process"
        )
        if summary.device:
            yield (
                "  {name} ({compute_type}, {batch_size} windows at once) was at work "
                "{share:.0%} of the time".format(**summary.device)
            )
            waited_for = summary.device["waited_for"].items()
            shares = ", ".join(
                f"{part} {share:.0%}" for part, share in waited_for if share >= 0.005
            )
            yield f"  waited for: {shares}"
            for name in summary.device.get("reinitialised", ()):
                yield f"  RANDOM numbers instead of the weight {name}"
            if summary.device.get("one_by_one"):
                yield "  computed one by one, since a batch changes what this model makes"
        if summary.resumed:
            yield f"  {summary.resumed} of them were done by an earlier run"


def written_text(written: Written) -> str:
    """The summary of an export, as text."""
    lines = written.failures[:_LISTED]
    if len(written.failures) > _LISTED:
        lines.append(f"… and {len(written.failures) - _LISTED} more")
    notes = [f"files written to {shown(written.folder)}: {written.files}"]
    lost = written.failed - written.partial
    if lost:
        notes.append(f"recordings without a file, because they failed: {lost}")
    if written.partial:
        notes.append(f"recordings without the parts that failed: {written.partial}")
    if written.shortened:
        notes.append(f"names that were too long and now end in a digest: {written.shortened}")
    return "\n".join([*lines, "; ".join(notes)])


@dataclass(frozen=True, slots=True)
class ExportReport:
    """A `Report` of an export."""

    written: Written

    @property
    def exit_code(self) -> int:
        return 3 if self.written.failures or self.written.failed else 0

    def view(self) -> str:
        return written_text(self.written)

    def to_json(self) -> dict[str, Any]:
        return {**self.written.to_json(), "exit_code": self.exit_code}
