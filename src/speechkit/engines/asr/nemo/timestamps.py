"""What NeMo found, in seconds and plain floats."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from speechkit.records import Hypothesis, Segment, Word

WRITTEN_TIME = re.compile(r"<\|\d+\|>")  # an attention decoder's, in its text


def hypothesis(found: Any, length: float, stride: float | None, language: str | None) -> Hypothesis:
    """Of a window of ``length`` seconds. ``stride``: seconds between two frames of the model's
    output; None: no times are wanted, the text fills the window."""
    text = found if isinstance(found, str) else found.text
    text = " ".join(WRITTEN_TIME.sub(" ", text).split())
    if not text:
        return Hypothesis()
    whole = Segment(0.0, length, text)
    if stride is None:
        return Hypothesis((whole,), language)
    stamps = found.timestamp if isinstance(found.timestamp, dict) else {}
    spoken = [_place(one, "word", stride, length) for one in stamps.get("word", ())]
    tokens = [_place(one, "char", stride, length) for one in stamps.get("char", ())]
    segments = [_place(one, "segment", stride, length) for one in stamps.get("segment", ())]
    counts = [len(segment.text.split()) for segment in segments]
    if " ".join(one.text for one in segments).split() != text.split() or sum(counts) != len(spoken):
        segments, counts = [Word(text, 0.0, length)], [len(spoken)]
    placed: list[Segment] = []
    first = 0
    for segment, count in zip(segments, counts, strict=True):
        own: list[Word] = []
        for word in spoken[first : first + count]:
            spelt, tokens = _spelling(word.text, tokens)
            own.append(replace(word, chars=tuple(spelt)))
        first += count
        placed.append(Segment(segment.start, segment.end, segment.text, _as_written(own, segment)))
    return Hypothesis(tuple(placed), language)


def _as_written(words: list[Word], segment: Word) -> tuple[Word, ...]:
    """Where NeMo's times tell another text than its transcript, the transcript is right: its words
    at their times, or none if their numbers differ."""
    written = segment.text.split()
    if len(written) != len(words):
        return ()
    return tuple(replace(word, text=text) for word, text in zip(words, written, strict=True))


def _spelling(text: str, tokens: list[Word]) -> tuple[list[Word], list[Word]]:
    """The tokens that spell the text, and the rest."""
    size, spelt, count = len("".join(text.split())), 0, 0
    while count < len(tokens) and spelt < size:
        spelt += len(tokens[count].text.strip(" ▁"))
        count += 1
    return tokens[:count], tokens[count:]


def _place(stamp: dict[str, Any], key: str, stride: float, length: float) -> Word:
    """A word, character or segment, inside the window; NeMo gives seconds or frames."""
    text = stamp[key]
    if isinstance(text, list):  # a transducer's characters
        text = "".join(text)
    start, end = (
        float(stamp[name]) if name in stamp else float(stamp[f"{name}_offset"]) * stride
        for name in ("start", "end")
    )
    start = min(start, length)
    return Word(str(text), round(start, 3), round(min(max(end, start), length), 3))
