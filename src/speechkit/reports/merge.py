"""The findings of a merge, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechkit.io.split_index import array_text
from speechkit.reports.plurals import counted
from speechkit.splitting.merge_summary import Fault, MergeSummary

_LISTED = 10  # faults of each kind in the text; the JSON has all


@dataclass(frozen=True, slots=True)
class MergeReport:
    """A `Report` of a merge."""

    summary: MergeSummary

    @property
    def exit_code(self) -> int:
        return self.summary.exit_code

    def to_json(self) -> dict[str, Any]:
        summary = self.summary
        return {**asdict(summary), "array": summary.array, "exit_code": self.exit_code}

    def view(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        summary = self.summary
        yield self._headline()
        if not summary.proven:
            yield (
                "completeness is unproven: without --manifest and without an index of the splits "
                "only numbering, duplicates and conflicts were checked"
            )
        yield from _listed("missing", summary.missing)
        yield from _listed("not in the input", summary.extra)
        yield from _listed("duplicate", summary.duplicate)
        yield from _listed("in conflict with another result", summary.conflicting)
        yield from _listed("unreadable", summary.unreadable)
        if summary.without_output:
            begun = f" (begun: {array_text(summary.begun)})" if summary.begun else ""
            yield f"splits without an output: {array_text(summary.without_output)}{begun}"
        if summary.broken_splits:
            yield f"can't be read: {_first(summary.broken_splits)}; run split-manifest again"
        if summary.remove:
            yield f"finished outputs are not run again; first remove {_first(summary.remove)}"
        if summary.rerun:
            yield f"rerun {summary.array}"

    def _headline(self) -> str:
        summary = self.summary
        present = "" if summary.present == summary.expected else f"{summary.present} of "
        state = "" if summary.complete else "incomplete, " if summary.written else "not written, "
        failed = f", {summary.failed} of them failed" if summary.failed else ""
        return (
            f"{summary.output}: {state}{present}{counted(summary.expected, 'utterance')} "
            f"from {counted(summary.files, 'file')}{failed}"
        )


def _listed(title: str, faults: Sequence[Fault]) -> Iterator[str]:
    if faults:
        yield f"{len(faults)} {title}:"
        yield from (f"  {_fault(fault)}" for fault in faults[:_LISTED])
    if len(faults) > _LISTED:
        yield f"  … and {len(faults) - _LISTED} more"


def _fault(fault: Fault) -> str:
    split = "" if fault.split is None else f", split {fault.split}"
    place = f"{fault.utterance} ({fault.where}{split})" if fault.utterance else fault.where
    return f"{place}: {fault.detail}" if fault.detail else place


def _first(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + rest
