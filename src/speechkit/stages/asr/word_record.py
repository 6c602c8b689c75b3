"""A word as a record holds it."""

from __future__ import annotations

from typing import Any

from speechkit.records import Word


def word_record(key: str, word: Word, offset: float = 0.0) -> dict[str, Any]:
    """The text of a word at a key, its times in seconds of the file, and its confidence if any."""
    sure = {} if word.confidence is None else {"confidence": word.confidence}
    return {key: word.text, **times(word.start, word.end, offset), **sure}


def times(start: float, end: float, offset: float) -> dict[str, float]:
    """Times of the utterance as keys, in seconds of the file."""
    return {"start": round(offset + start, 3), "end": round(offset + max(start, end), 3)}
