"""The summary of a merge: its faults, and the text for a person."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.io.file_names import shown
from speechkit.io.split_index import array_text
from speechkit.records import Record

_NAMED = 10  # faults of each kind in the text; the summary has them all


@dataclass(frozen=True, slots=True)
class Fault:
    """An utterance or line at fault; ``where``: the line of the manifest, or of the result."""

    utterance: str
    where: str
    split: int | None = None
    detail: str = ""

    def text(self) -> str:
        split = "" if self.split is None else f", split {self.split}"
        named = f"{self.utterance} ({self.where}{split})" if self.utterance else self.where
        return f"{named}: {self.detail}" if self.detail else named


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """The outcome of a merge; ``proven``: the results were held against a manifest."""

    output: str
    written: bool
    files: int
    expected: int  # utterances of the manifest, where there is one; else those found
    present: int
    failed: int  # present, with an error
    proven: bool
    complete: bool
    missing: tuple[Fault, ...]
    extra: tuple[Fault, ...]
    duplicate: tuple[Fault, ...]
    conflicting: tuple[Fault, ...]
    unreadable: tuple[Fault, ...]
    without_output: tuple[int, ...]  # splits
    begun: tuple[int, ...]  # of those, the ones with an unfinished output
    rerun: tuple[int, ...]  # splits, those without output among them
    remove: tuple[str, ...]  # outputs of splits to rerun, which a stage would take for finished
    broken_splits: tuple[str, ...]  # split files that can't be read

    @property
    def array(self) -> str:
        """The splits to rerun, as ``--array=3,17-19``; empty where there are none."""
        return f"--array={array_text(self.rerun)}" if self.rerun else ""

    def text(self) -> str:
        lines = [self._headline()]
        if not self.proven:
            lines.append(
                "completeness is unproven: without --manifest and without an index of the splits "
                "only numbering, duplicates and conflicts were checked"
            )
        lines += _listed("missing", self.missing)
        lines += _listed("not in the input", self.extra)
        lines += _listed("duplicate", self.duplicate)
        lines += _listed("in conflict with another result", self.conflicting)
        lines += _listed("unreadable", self.unreadable)
        if self.without_output:
            begun = f" (begun: {array_text(self.begun)})" if self.begun else ""
            lines.append(f"splits without an output: {array_text(self.without_output)}{begun}")
        if self.broken_splits:
            lines.append(f"run split-manifest again, can't read {_some(self.broken_splits)}")
        if self.remove:
            lines.append(f"a finished output is not run again: first remove {_some(self.remove)}")
        if self.rerun:
            lines.append(f"rerun {self.array}")
        return "\n".join(lines)

    def _headline(self) -> str:
        some = "" if self.present == self.expected else f"{self.present} of "
        state = "" if self.complete else "incomplete, " if self.written else "not written, "
        failed = f", {self.failed} of them failed" if self.failed else ""
        return (
            f"{self.output}: {state}{some}{self.expected} utterances "
            f"from {self.files} files{failed}"
        )


def utterance_name(record: Record) -> str:
    """The ``id``, else the path with offset and duration in seconds as far as they are stated."""
    if "id" in record:
        return shown(record["id"])
    offset, duration = record.get("offset"), record.get("duration")
    start = f" from {offset} s" if offset else ""
    length = f" for {duration} s" if duration else ""
    return f"{shown(record.get('audio_filepath', ''))}{start}{length}"


def _listed(kind: str, faults: tuple[Fault, ...]) -> list[str]:
    if not faults:
        return []
    rest = [f"  … and {len(faults) - _NAMED} more"] if len(faults) > _NAMED else []
    return [f"{len(faults)} {kind}:", *(f"  {fault.text()}" for fault in faults[:_NAMED]), *rest]


def _some(names: tuple[str, ...]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
