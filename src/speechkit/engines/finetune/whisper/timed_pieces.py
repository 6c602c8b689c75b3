"""The text of a line in pieces whose times are known.

Times come from the ``segments`` of a line or else its ``words``, provided that these have the same
letters as the ``text``: a transcript of `asr` in the segments is no reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from speechkit.records import Record

SLACK = 0.1  # seconds by which times may reach out of the audio, by rounding
PAUSE = 0.5  # seconds between words at which a piece ends
ENDS = tuple(".?!。？！")  # of sentences, at which a piece ends, too


class Piece(NamedTuple):
    """A stretch of text and its times, in seconds."""

    start: float
    end: float
    text: str


def timed_pieces(record: Record, text: str, context: float) -> list[Piece]:
    """The pieces of the text with times from the beginning of the utterance, in order.

    None where a time lies outside of the utterance or of ``context`` seconds, or before an earlier
    one.
    """
    pieces = spelt_as(text, _stated(record))
    offset = float(record.get("offset") or 0.0)
    seconds = min(record.get("duration") or context, context)
    times = [time - offset for piece in pieces for time in (piece.start, piece.end)]
    within = all(-SLACK <= time <= seconds + SLACK for time in times)
    if not within or any(before > after for before, after in pairwise(times)):
        return []
    times = [min(max(time, 0.0), seconds) for time in times]
    return [
        Piece(start, end, piece.text)
        for start, end, piece in zip(times[::2], times[1::2], pieces, strict=True)
    ]


def _stated(record: Record) -> list[Piece]:
    """The segments of a line if all have a text, else its words in pieces of a sentence."""
    segments = record.get("segments") or []
    if segments and all(segment.get("text") for segment in segments):
        return [Piece(one["start"], one["end"], one["text"]) for one in segments]
    words = record.get("words")
    return list(_sentences(words)) if isinstance(words, list) and words else []


def _sentences(words: Sequence[dict[str, Any]]) -> Iterator[Piece]:
    """Words up to the end of a sentence or a pause, each group a piece.

    Other tools write ``words``: without times that are numbers, there is none.
    """
    try:
        known = [Piece(float(one["start"]), float(one["end"]), str(one["word"])) for one in words]
    except (KeyError, TypeError, ValueError):
        return
    begin = 0
    for number, (word, after) in enumerate(pairwise([*known, None]), 1):
        assert word
        ends = after is None or word.text.rstrip().endswith(ENDS)
        if after is None or ends or after.start - word.end >= PAUSE:
            text = " ".join(one.text.strip() for one in known[begin:number])
            yield Piece(known[begin].start, word.end, text)
            begin = number


def spelt_as(text: str, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces in the spelling of the text; none where their letters differ from its.

    What follows the last letter of a piece up to the next space or letter belongs to it.
    """
    pieces = [piece for piece in pieces if _letters(piece.text)]
    if not pieces or _letters(text) != "".join(_letters(piece.text) for piece in pieces):
        return []
    spelt: list[Piece] = []
    begin = 0
    for piece in pieces:
        end = _end_of(text, begin, len(_letters(piece.text)))
        spelt.append(piece._replace(text=text[begin:end].strip()))
        begin = end
    last = f"{spelt[-1].text} {text[begin:].strip()}".strip()
    return [*spelt[:-1], spelt[-1]._replace(text=last)]


def _end_of(text: str, at: int, letters: int) -> int:
    """Where so many letters from ``at`` on end, with the punctuation after them."""
    while at < len(text):
        if letters <= 0 and (text[at].isspace() or text[at].isalnum()):
            break
        letters -= len(_letters(text[at]))
        at += 1
    return at


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
