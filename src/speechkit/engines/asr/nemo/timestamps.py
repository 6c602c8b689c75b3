"""NeMo's output with its timestamps in seconds, inside the window."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import Any

from speechkit.records import Hypothesis, Segment, Word

WRITTEN_TIME = re.compile(r"<\|\d+\|>")  # an attention decoder's, in its text


def hypothesis(
    output: Any, length: float, stride: float | None, language: str | None
) -> Hypothesis:
    """NeMo's output for a window of ``length`` seconds, as a `Hypothesis`.

    ``stride``: seconds between two frames of the model's output; None: without times, so that the
    text fills the window.
    """
    text = output if isinstance(output, str) else output.text
    text = " ".join(WRITTEN_TIME.sub(" ", text).split())
    if not text:
        return Hypothesis()
    if stride is None:
        return Hypothesis((Segment(0.0, length, text),), language)
    timestamps = output.timestamp if isinstance(output.timestamp, dict) else {}

    def timed(kind: str) -> list[Word]:
        return [_timed(stamp, kind, stride, length) for stamp in timestamps.get(kind, ())]

    return Hypothesis(
        _segments(text, length, timed("segment"), timed("word"), timed("char")), language
    )


def _segments(
    text: str, length: float, segments: list[Word], words: list[Word], tokens: list[Word]
) -> tuple[Segment, ...]:
    """NeMo's segments with their words; one of the whole text where they don't belong together."""
    words = _with_characters(words, tokens)
    counts = [len(segment.text.split()) for segment in segments]
    transcript = [word for segment in segments for word in segment.text.split()]
    if transcript != text.split() or sum(counts) != len(words):
        segments, counts = [Word(text, 0.0, length)], [len(words)]
    remaining = iter(words)
    timed: list[Segment] = []
    for segment, count in zip(segments, counts, strict=True):
        spoken = _as_written(list(islice(remaining, count)), segment)
        timed.append(Segment(segment.start, segment.end, segment.text, spoken))
    return tuple(timed)


def _with_characters(words: list[Word], tokens: list[Word]) -> list[Word]:
    """The words, each with the next tokens that spell it."""
    spelt: list[Word] = []
    for word in words:
        spelling, tokens = _spelling(word.text, tokens)
        spelt.append(replace(word, chars=tuple(spelling)))
    return spelt


def _as_written(words: list[Word], segment: Word) -> tuple[Word, ...]:
    """The transcript's words at NeMo's times; none if their numbers differ.

    Where the text of NeMo's times and the transcript disagree, the transcript is right.
    """
    written = segment.text.split()
    if len(written) != len(words):
        return ()
    return tuple(replace(word, text=text) for word, text in zip(words, written, strict=True))


def _spelling(text: str, tokens: list[Word]) -> tuple[list[Word], list[Word]]:
    """The first tokens, which spell the text, and the remaining ones."""
    size, spelt, count = len("".join(text.split())), 0, 0
    while count < len(tokens) and spelt < size:
        spelt += len(tokens[count].text.strip(" ▁"))
        count += 1
    return tokens[:count], tokens[count:]


def _timed(stamp: dict[str, Any], kind: str, stride: float, length: float) -> Word:
    """A word, character or segment, inside the window; NeMo gives seconds or frames."""
    text = stamp[kind]
    if isinstance(text, list):  # a transducer's characters
        text = "".join(text)
    start, end = (
        float(stamp[name]) if name in stamp else float(stamp[f"{name}_offset"]) * stride
        for name in ("start", "end")
    )
    start = min(start, length)
    return Word(str(text), round(start, 3), round(min(max(end, start), length), 3))
