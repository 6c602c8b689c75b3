"""The report of a split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from speechkit.reports.plurals import counted
from speechkit.splitting.split import SplitSummary


@dataclass(frozen=True, slots=True)
class SplitReport:
    """A `Report` of a split."""

    summary: SplitSummary

    @property
    def exit_code(self) -> int:
        return 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self.summary)

    def view(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        summary = self.summary
        yield (
            f"{counted(summary.utterances, 'utterance')}, {summary.seconds / 3600:.2f} h, in "
            f"{counted(summary.splits, 'split')} of {summary.shortest:.1f} to "
            f"{summary.longest:.1f} s: {summary.index} (--array={summary.array})"
        )
        if summary.unchanged:
            yield "the same splits are there already: nothing to do"
        if summary.without_duration:
            lines = counted(summary.without_duration, "line")
            yield f"{lines} without a duration, counted with the mean length"
        if summary.empty:
            yield f"{summary.empty} of the splits are empty"
