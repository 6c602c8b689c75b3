"""The result of a part in JSON, and the record of a recording from those of its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechkit import keys
from speechkit.records import Record, Segment, Utterance
from speechkit.stages.asr.recognition import Recognition
from speechkit.stages.asr.recording_parts import RecordingFacts
from speechkit.stages.asr.word_record import times, word_record


@dataclass(frozen=True, slots=True)
class OutputDetail:
    """What a record tells beside the text: the times of ``words`` and ``chars``, and the
    ``languages`` of segments."""

    words: bool
    chars: bool
    languages: bool


def part_result(recognition: Recognition, start: float, detail: OutputDetail) -> Record:
    """The result of a part that begins ``start`` seconds into the file, whose times it has."""
    transcript = recognition.transcript
    # Later stages need segments in order of time, even if an engine invents times.
    segments = sorted(recognition.segments(), key=lambda segment: segment.start)
    return {
        "text": transcript.text,
        "spaced": transcript.is_spaced,
        "segments": [_segment(segment, start, detail) for segment in segments],
        "gaps": [times(*gap, start) for gap in transcript.unheard()],
        "languages": dict(transcript.languages),
        "flags": sorted({flag for segment in segments for flag in segment.flags}),
    }


def joined(utterance: Utterance, known: RecordingFacts, parts: Sequence[Record]) -> Record:
    """The record of an utterance from the results of all its parts, in order."""
    gaps = _all("gaps", parts)
    results: Record = {
        "duration": utterance.duration or known.duration,
        "pred_text": _text(parts),
        "segments": _all("segments", parts),
    }
    if language := _language(part["languages"] for part in parts):
        results["lang"] = language
    if gaps:
        results["gaps"] = gaps
    flags = {*known.flags, *_all("flags", parts), *(["low_coverage"] if gaps else [])}
    return keys.with_results(utterance.record, "asr", results, flags)


def _text(parts: Sequence[Record]) -> str:
    return "".join(" " * part["spaced"] + part["text"] for part in parts if part["text"]).strip()


def _all(key: str, parts: Sequence[Record]) -> list[Any]:
    return [value for part in parts for value in part[key]]


def _language(counts: Iterable[Mapping[str, int]]) -> str | None:
    """The language of most words."""
    words: Counter[str] = Counter()
    for count in counts:
        words.update(count)
    return max(words, key=lambda code: words[code], default=None)


def _segment(segment: Segment, offset: float, detail: OutputDetail) -> dict[str, Any]:
    out: dict[str, Any] = {
        **times(segment.start, segment.end, offset),
        **segment.extra,
        "text": segment.text,
    }
    if segment.confidence is not None:
        out["confidence"] = segment.confidence
    if segment.flags:
        out["flags"] = list(segment.flags)
    if detail.languages and segment.language:
        out["lang"] = segment.language
    if detail.words:
        out["words"] = [word_record("word", word, offset) for word in segment.words]
    if detail.chars:
        chars = (char for word in segment.words for char in word.chars)
        out["chars"] = [word_record("char", char, offset) for char in chars]
    return out
