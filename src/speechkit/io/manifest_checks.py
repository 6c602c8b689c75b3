"""The one judge of manifest lines: what a key has to be wherever it stands and any stage reads it.

No stage accepts what another fails on, and none writes what another refuses. Null is as good as
absent. What no stage reads, or what each can do without, is anybody's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from speechkit import keys
from speechkit.records import Record

MOST_SECONDS = 1e9  # 30 years; beyond it a time is a mistake
MOST_FRAMES = 10_000_000  # of an utterance in units, 55 hours: more is a mistake
MOST_SHOWN = 60  # characters of a value in a sentence
_NUMBERS = (float, int)  # not bool
_SPAN = 'an object with "start" and "end" in seconds'

Judge = Callable[[Any], str | None]


def fault(line: Any) -> str | None:
    """What is wrong with the value of a line, as a phrase; None where nothing is."""
    if not isinstance(line, dict):
        return f"expected a JSON object, found {_kind(line)}"
    for key, value in line.items():
        judge = _JUDGES.get(key)
        if judge and value is not None and (wrong := judge(value)):
            return f'"{key}" {wrong}'
    return _unequal(line) if "unit_durations" in line else None


def lacks_nothing(_: Record) -> str | None:
    """For what takes every line."""
    return None


def lacks_audio(record: Record) -> str | None:
    """For stages that read audio."""
    if record.get("audio_filepath") is None:
        return '"audio_filepath" must be the path of a file, and there is none'
    return None


def lacks_units(record: Record) -> str | None:
    """For stages that begin with units; what failed in an earlier one has none to show."""
    if record.get("error") is not None:
        return None
    if record.get("id") is None and record.get("audio_filepath") is None:
        return 'a line with units needs "id" or "audio_filepath"'
    if record.get("units") is None:
        return '"units" must be a list of numbers from 0 up (--from-units), and there are none'
    return None


def _unequal(record: Record) -> str | None:
    units, durations = record.get("units"), record["unit_durations"]
    if units is None or not durations or len(units) == len(durations):
        return None
    return f'"unit_durations" must be one a unit: {len(units)} units, {len(durations)} of them'


def _path(value: Any) -> str | None:
    named = isinstance(value, str) and value and "\0" not in value
    if named and (value.isascii() or _encodable(value)):
        return None
    return f"must be the path of a file, found {_shown(value)}"


def _encodable(path: str) -> bool:
    try:
        return bool(os.fsencode(path))
    except UnicodeEncodeError:  # half of a character
        return False


def _seconds(value: Any) -> str | None:
    if type(value) in _NUMBERS and 0 <= value <= MOST_SECONDS:
        return None
    return f"must be seconds from 0 up, found {_shown(value)}"


def _identity(value: Any) -> str | None:
    if (isinstance(value, str) and value) or type(value) in _NUMBERS:
        return None
    return f"must be a string that is not empty, or a number, found {_shown(value)}"


def _string(value: Any) -> str | None:
    if isinstance(value, str):
        return None
    number = type(value) in _NUMBERS
    quoted = f': write it in quotes, "{_shown(value)}"' if number else ""
    return f"must be a string, found {_shown(value)}{quoted}"


def _segments(value: Any) -> str | None:
    if not isinstance(value, list):
        return f"must be a list of objects, found {_shown(value)}"
    last = 0.0
    for number, segment in enumerate(value, 1):
        wrong = _segment(segment, last)
        if wrong:
            return f"must be in order, each {_SPAN}: item {number} {wrong}"
        last = segment["start"]
    return None


def _segment(value: Any, after: float) -> str | None:
    wrong = _span(value)
    if wrong:
        return wrong
    if value["start"] < after:
        return f"begins before the one in front of it, at {value['start']} s"
    text, words = value.get("text"), value.get("words")
    if text is not None and (wrong := _string(text)):
        return f'has a "text" that {wrong}'
    if words is not None and (wrong := _words(words)):
        return f'has "words" that {wrong}'
    return None


def _words(value: Any) -> str | None:
    if not isinstance(value, list):
        return f"must be a list of objects, found {_shown(value)}"
    for number, word in enumerate(value, 1):
        wrong = _span(word)
        if not wrong and not isinstance(word.get("word"), str):
            wrong = f'has no string as its "word", but {_shown(word.get("word"))}'
        sure = None if wrong else word.get("confidence")
        if sure is not None and not (type(sure) in _NUMBERS and abs(sure) <= MOST_SECONDS):
            wrong = f'has no number as its "confidence", but {_shown(sure)}'
        if wrong:
            return f'must each be {_SPAN} and its "word": word {number} {wrong}'
    return None


def _span(value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"is {_kind(value)}"
    start: Any = value.get("start")
    end: Any = value.get("end")
    if type(start) in _NUMBERS and type(end) in _NUMBERS and 0 <= start <= end <= MOST_SECONDS:
        return None
    return f"goes from {_shown(start)} to {_shown(end)}"


def _units(value: Any) -> str | None:
    if _are_whole(value, least=0):
        return None
    return f"must be a list of numbers from 0 up, found {_shown(value)}"


def _frames(value: Any) -> str | None:
    if not _are_whole(value, least=1):
        return f"must be a list of frames from 1 up, found {_shown(value)}"
    frames = sum(value)
    return f"come to {frames} frames; {MOST_FRAMES} at most" if frames > MOST_FRAMES else None


def _are_whole(value: Any, *, least: int) -> bool:
    return isinstance(value, list) and all(
        type(number) is int and least <= number < 1 << 31 for number in value
    )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "a truth value"}
    return names.get(type(value), "a number")


_BY_KIND: dict[str, Judge] = {
    "path": _path,
    "seconds": _seconds,
    "identity": _identity,
    "string": _string,
    "segments": _segments,
    "units": _units,
    "frames": _frames,
}
_JUDGES = {key.name: _BY_KIND[key.kind] for key in keys.LINE if key.judged}
