"""Shared by several formats: clean text, names without spaces, times within the recording."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from speechkit.errors import UsageError
from speechkit.records import Recording, Segment, Word

_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")  # every line separator and control character
_SURROGATE = re.compile("[\ud800-\udfff]")  # from file names that are not UTF-8


def one_line(text: str) -> str:
    """The text with each run of whitespace and control characters made one space."""
    return _SURROGATE.sub("\ufffd", _BLANK.sub(" ", text)).strip()


def token(text: str) -> str:
    """The text as one field of a space-separated format: inner spaces become underscores."""
    return one_line(text).replace(" ", "_")


def file_ids(recordings: Sequence[Recording]) -> list[str]:
    """Each recording's name as a token; UsageError where two names would become one."""
    owner: dict[str, str] = {}
    for recording in recordings:
        first = owner.setdefault(token(recording.name), recording.name)
        if first != recording.name:
            raise UsageError(
                f"recordings {first!r} and {recording.name!r} are both named "
                f"{token(first)!r} in this format: rename one, or write one file a recording"
            )
    return [token(recording.name) for recording in recordings]


def tidy(recording: Recording) -> Recording:
    """The recording with times inside it, in whole milliseconds, and each text on one line."""

    def inside(seconds: float) -> float:
        return round(min(max(0.0, seconds), recording.duration), 3)  # 0.0 first: never "-0.0"

    def tidy_word(word: Word) -> Word:
        start = inside(word.start)
        end = max(start, inside(word.end))
        return replace(word, text=one_line(word.text), start=start, end=end)

    def tidy_segment(segment: Segment) -> Segment:
        start = inside(segment.start)
        end = max(start, inside(segment.end))
        text = None if segment.text is None else one_line(segment.text)
        words = tuple(tidy_word(word) for word in segment.words)
        return replace(segment, start=start, end=end, text=text, words=words)

    segments = tuple(tidy_segment(segment) for segment in recording.segments)
    return replace(recording, duration=round(recording.duration, 3), segments=segments)


def in_sequence(recordings: Sequence[Recording]) -> Iterator[Recording]:
    """Each recording tidied, its segments shifted by the durations of those before it."""
    shift = 0.0
    for recording in recordings:
        tidied = tidy(recording)
        segments = (replace(s, start=s.start + shift, end=s.end + shift) for s in tidied.segments)
        yield replace(tidied, segments=tuple(segments))
        shift += recording.duration
