"""The findings of a merge."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.io.file_names import shown
from speechkit.io.split_index import array_text
from speechkit.records import Record


@dataclass(frozen=True, slots=True)
class Fault:
    """An utterance or line at fault; ``where``: the line of the manifest, or of the result."""

    utterance: str
    where: str
    split: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
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

    @property
    def exit_code(self) -> int:
        return 4 if not self.complete else 3 if self.failed else 0


def utterance_name(record: Record) -> str:
    """The ``id``, else the path with offset and duration in seconds as far as they are stated."""
    if "id" in record:
        return shown(record["id"])
    offset, duration = record.get("offset"), record.get("duration")
    start = f" from {offset} s" if offset else ""
    length = f" for {duration} s" if duration else ""
    return f"{shown(record.get('audio_filepath', ''))}{start}{length}"
