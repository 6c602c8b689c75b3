"""Finished records as text files: grouped by recording, rendered, published."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from speechkit.errors import OutputConflict
from speechkit.formats import Format
from speechkit.io import atomic, references
from speechkit.io.inputs import AUDIO_SUFFIXES
from speechkit.io.names import MOST_BYTES, short
from speechkit.records import Record, Recording, Segment, Word


def recordings(records: Iterable[Record]) -> dict[str, Recording]:
    """The recordings that the records speak of, by audio path, in order of appearance.

    Records of one file are joined in order of time; failed ones have nothing to show. Names never
    hold ``..``: no path leads out of the output folder.
    """
    by_path: dict[str, list[Record]] = {}
    for record in records:
        if record.get("error") is None:
            path = "/" + os.path.normpath(record["audio_filepath"]).lstrip("/")
            by_path.setdefault(path, []).append(record)
    names = dict(zip(by_path, _names(list(by_path)), strict=True))
    return {path: _recording(names[path], found) for path, found in by_path.items()}


def write_files(
    records: Iterable[Record], folder: Path, formats: Sequence[Format], *, joined: str | None
) -> int:
    """One file a recording and format below ``folder``, or one for all, called ``joined``.

    The tree below the recordings' common folder is kept, so equal basenames never meet; a name
    that is too long ends in a digest. Returns the number of files. Raises `OutputConflict` where a
    reference beside its audio would be lost.
    """
    found = recordings(records)
    suffixes = {*AUDIO_SUFFIXES, *map(str.upper, AUDIO_SUFFIXES), *(Path(p).suffix for p in found)}
    written = 0
    for form in formats:
        groups = {joined: list(found.values())} if joined else {r.name: [r] for r in found.values()}
        for name, group in groups.items():
            *above, last = name.split("/")
            last = short(last, MOST_BYTES - len(form.EXTENSION)) + form.EXTENSION
            target = folder.joinpath(*above, last)
            _spare_reference(target, suffixes)
            atomic.write_text(target, form.render(group))
            written += 1
    return written


def _spare_reference(target: Path, audio_suffixes: Iterable[str]) -> None:
    if target.suffix not in references.SUFFIXES:
        return
    beside = [s for s in audio_suffixes if s and target.with_suffix(s).exists()]
    if beside:
        raise OutputConflict(
            f"{target}: would be taken for the reference of "
            f"{target.with_suffix(beside[0]).name}; name another --output-dir"
        )


def _names(paths: Sequence[str]) -> list[str]:
    """Paths below their common folder, without suffix where that leaves them distinct."""
    if not paths:
        return []
    root = os.path.commonpath([Path(path).parent for path in paths])
    full = [str(Path(path).relative_to(root)) for path in paths]
    short = [os.path.splitext(name)[0] for name in full]  # noqa: PTH122 - pathlib differs by version
    times = Counter(short)
    chosen = [s if times[s] == 1 else f for s, f in zip(short, full, strict=True)]
    return chosen if len(set(chosen)) == len(chosen) else full


def _recording(name: str, records: Sequence[Record]) -> Recording:
    segments = [segment for record in records for segment in _segments(record)]
    ends = [(record.get("offset") or 0.0) + (record.get("duration") or 0.0) for record in records]
    latest = max([*ends, *(segment.end for segment in segments)])
    spoken = [_whole(record) for record in records if record.get("units") is not None]
    return Recording(name, latest, _in_order(segments), _in_order(spoken))


def _in_order(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    return tuple(sorted(segments, key=lambda one: (one.start, one.end)))


def _segments(record: Record) -> list[Segment]:
    segments = record.get("segments")
    return [_whole(record)] if segments is None else [_segment(segment) for segment in segments]


def _whole(record: Record) -> Segment:
    start = record.get("offset") or 0.0
    units = tuple(record.get("units") or ())
    return Segment(start, round(start + (record.get("duration") or 0.0), 3), units=units)


def _segment(segment: dict[str, Any]) -> Segment:
    words = tuple(
        Word(word["word"], word["start"], word["end"], word.get("confidence"))
        for word in segment.get("words") or ()
    )
    return Segment(segment["start"], segment["end"], segment.get("text"), words)
