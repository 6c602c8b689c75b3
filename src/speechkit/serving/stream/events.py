"""What a stream says, and its form in JSON.

Finals and gaps tile the audio: each begins where the one before ended, the first at 0, and the last
ends with the audio. Times are in seconds of the audio; ``emitted`` is in seconds of the stream's
clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speechkit.io import typed_json
from speechkit.records import Record, Word, text_of
from speechkit.stages.asr.word_record import word_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What has been heard behind the last final, and may still change."""

    start: float
    end: float
    emitted: float
    words: tuple[Word, ...]
    language: str | None = None

    @property
    def text(self) -> str:
        return text_of(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """Words that never change. ``flags``: doubts about them."""

    start: float
    end: float
    emitted: float
    words: tuple[Word, ...]
    language: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return text_of(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch without words. ``reason``: ``silence``, or ``no_words`` for speech without any."""

    start: float
    end: float
    emitted: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of the audio, after ``seconds`` of it. ``error``: why its source broke off."""

    seconds: float
    emitted: float
    error: str | None = None


Event = Partial | Final | Gap | End
Settled = Final | Gap  # tiles the audio
_KINDS: dict[str, type[Final | Gap | End]] = {"final": Final, "gap": Gap, "end": End}


def to_json(event: Event) -> Record:
    """The event as an object: its ``type`` first, words as in the records of asr.

    A word that no space separates from the one before has ``"spaced": false``.
    """
    kind = type(event).__name__.lower()
    if isinstance(event, End):
        error = {"error": event.error} if event.error else {}
        return {
            "type": kind,
            "seconds": round(event.seconds, 3),
            "emitted": round(event.emitted, 3),
            **error,
        }
    times = {
        "start": round(event.start, 3),
        "end": round(event.end, 3),
        "emitted": round(event.emitted, 3),
    }
    if isinstance(event, Gap):
        return {"type": kind, **times, "reason": event.reason}
    record = {
        "type": kind,
        **times,
        "text": event.text,
        "words": [_word(word) for word in event.words],
    }
    if event.language:
        record["lang"] = event.language
    if isinstance(event, Final) and event.flags:
        record["flags"] = list(event.flags)
    return record


def from_json(record: Mapping[str, Any]) -> Final | Gap | End:
    """The event of an object that `to_json` has made of one that is no partial. Raise ValueError,
    TypeError or LookupError for any other object."""
    kind = _KINDS[record["type"]]
    names = {"lang": "language"}
    fields = {names.get(key, key): record[key] for key in record if key not in ("type", "text")}
    if kind is Final:
        fields["words"] = [_fields(word) for word in record["words"]]
    return typed_json.to_dataclass(kind, fields)


def _word(word: Word) -> dict[str, Any]:
    joined = {} if word.spaced else {"spaced": False}
    return {**word_record("word", word), **joined}


def _fields(word: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": word["word"], **{key: word[key] for key in word if key != "word"}}
