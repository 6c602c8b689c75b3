"""The findings of a merge, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechkit.io.split_index import array_text
from speechkit.reports.plurals import counted
from speechkit.splitting.merge_summary import Fault, MergeSummary

_NAMED = 10  # faults of each kind in the text; the JSON has them all


@dataclass(frozen=True, slots=True)
class MergeReport:
    """A `Report` of a merge."""

    summary: MergeSummary

    @property
    def exit_code(self) -> int:
        return self.summary.exit_code

    def to_json(self) -> dict[str, Any]:
        found = self.summary
        return {**asdict(found), "array": found.array, "exit_code": self.exit_code}

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
            yield f"run split-manifest again, can't read {_some(summary.broken_splits)}"
        if summary.remove:
            yield f"a finished output is not run again: first remove {_some(summary.remove)}"
        if summary.rerun:
            yield f"rerun {summary.array}"

    def _headline(self) -> str:
        summary = self.summary
        some = "" if summary.present == summary.expected else f"{summary.present} of "
        state = "" if summary.complete else "incomplete, " if summary.written else "not written, "
        failed = f", {summary.failed} of them failed" if summary.failed else ""
        return (
            f"{summary.output}: {state}{some}{counted(summary.expected, 'utterance')} "
            f"from {counted(summary.files, 'file')}{failed}"
        )


def _listed(title: str, faults: Sequence[Fault]) -> Iterator[str]:
    if faults:
        yield f"{len(faults)} {title}:"
        yield from (f"  {_fault(fault)}" for fault in faults[:_NAMED])
    if len(faults) > _NAMED:
        yield f"  … and {len(faults) - _NAMED} more"


def _fault(fault: Fault) -> str:
    split = "" if fault.split is None else f", split {fault.split}"
    named = f"{fault.utterance} ({fault.where}{split})" if fault.utterance else fault.where
    return f"{named}: {fault.detail}" if fault.detail else named


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
