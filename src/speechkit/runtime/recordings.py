"""Recordings for the text formats: output records, grouped by audio file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from speechkit.io.audio_survey import AudioSurvey, normal
from speechkit.io.inputs import Inputs
from speechkit.records import Record, Recording, Segment, Word
from speechkit.runtime.output_tree import OutputTree, survey_inputs


def tree_of(audio: AudioSurvey) -> OutputTree:
    """A tree for the names of recordings; nothing is written to it."""
    return OutputTree("", audio.folder, "", alike=audio.alike)


def recordings(records: Iterable[Record], tree: OutputTree) -> list[Recording]:
    """The recordings of the records, in order of appearance.

    Records of the same file are joined in order of time; failed ones are left out.
    """
    joined = (recording_of(tree.name(path), group) for path, group in by_audio(records).items())
    return [recording for recording in joined if recording]


def all_recordings(results: Inputs) -> list[Recording]:
    """The recordings of a whole result."""
    records = (utterance.record for utterance in results)
    return recordings(records, tree_of(survey_inputs(results)))


def _audio_path(record: Record) -> str:
    return normal(str(record["audio_filepath"]))


def by_audio(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each audio file, in order of appearance."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(_audio_path(record), []).append(record)
    return groups


def completed(read: Callable[[], Iterable[Record]]) -> Iterator[tuple[str, list[Record]]]:
    """Yield each path with its records as soon as all of them are read.

    Calls ``read`` twice: the first time to count the records.
    """
    left = Counter(hash(_audio_path(record)) for record in read())
    held: dict[str, list[Record]] = {}
    for record in read():
        path = _audio_path(record)
        held.setdefault(path, []).append(record)
        left[hash(path)] -= 1
        if not left[hash(path)]:
            yield path, held.pop(path)


def recording_of(name: str, records: Sequence[Record]) -> Recording | None:
    """The recording made of the records of one audio file; None if all have failed."""
    sound = [record for record in records if record.get("error") is None]
    if not sound:
        return None
    segments = [segment for record in sound for segment in _segments(record)]
    ends = [(record.get("offset") or 0.0) + (record.get("duration") or 0.0) for record in sound]
    latest = max([*ends, *(segment.end for segment in segments)])
    in_units = [_as_segment(record) for record in sound if record.get("units") is not None]
    return Recording(name, latest, _in_order(segments), _in_order(in_units))


def _in_order(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    return tuple(sorted(segments, key=lambda segment: (segment.start, segment.end)))


def _segments(record: Record) -> list[Segment]:
    segments = record.get("segments")
    if segments is None:
        return [_as_segment(record)]
    return [_segment(segment) for segment in segments]


def _as_segment(record: Record) -> Segment:
    start = record.get("offset") or 0.0
    units = tuple(record.get("units") or ())
    end = round(start + (record.get("duration") or 0.0), 3)
    return Segment(start, end, record.get("pred_text"), units=units)


def _segment(segment: dict[str, Any]) -> Segment:
    words = tuple(
        Word(word["word"], word["start"], word["end"], word.get("confidence"))
        for word in segment.get("words") or ()
    )
    return Segment(segment["start"], segment["end"], segment.get("text"), words)
