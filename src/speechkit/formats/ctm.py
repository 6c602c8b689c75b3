"""NIST CTM, the hypothesis file of sclite: ``<file> 1 <start> <duration> <word> [<confidence>]``.

Spaces in a recording's name or inside a word become underscores. Rows are sorted by file and
start, as sclite asks. Word times are never made up: a segment whose words have none is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.errors import UsageError
from speechkit.formats.clean_text import file_ids, tidy, token
from speechkit.formats.format import Format
from speechkit.records import Recording, Segment, Word


def render(recordings: Sequence[Recording]) -> str:
    """UsageError where a segment has text but no words, or two names would become one."""
    rows = [
        (file_id, word)
        for file_id, recording in zip(file_ids(recordings), map(tidy, recordings), strict=True)
        for segment in recording.segments
        for word in _words(recording, segment)
    ]
    rows.sort(key=lambda row: (row[0], row[1].start))
    return "".join(_line(file_id, word) for file_id, word in rows)


def _words(recording: Recording, segment: Segment) -> list[Word]:
    words = [word for word in segment.words if word.text]
    if segment.text and not words:
        raise UsageError(
            f"{recording.name} has no word times from {segment.start:.3f} to {segment.end:.3f} s, "
            "and CTM needs them: ask the engine for words, or choose tsv, srt or txt"
        )
    return words


def _line(file_id: str, word: Word) -> str:
    confidence = "" if word.confidence is None else f" {word.confidence:.3f}"
    duration = word.end - word.start
    return f"{file_id} 1 {word.start:.3f} {duration:.3f} {token(word.text)}{confidence}\n"


FORMAT = Format(name="ctm", extension=".ctm", stage="asr", render=render, of_words=True)
