"""What a user has corrected in the transcript of a file: other texts for some of its segments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from speechkit.errors import UsageError
from speechkit.formats.clean_text import one_line
from speechkit.io import atomic, safe_open, typed_json
from speechkit.records import Record
from speechkit.serving.web.request_errors import Conflict

MOST_CHARACTERS = 20_000  # of the text of a segment
_MOST_BYTES = 64 << 20  # of the corrections of a file

#: Texts by the index of their segment, from 0.
Corrections = Mapping[int, str]


def parse(body: Any, record: Record) -> Corrections:
    """The corrections of ``[{"segment": 0, "text": "…"}]``, each text on one line. An empty text
    takes the segment away.

    Raise `UsageError` for anything else, and for segments that the record hasn't; `Conflict` for a
    file that has failed.
    """
    if record.get("error") is not None:
        raise Conflict("the file has failed, and there is no transcript to correct")
    if not isinstance(body, list):
        raise UsageError('corrections: send a list of {"segment": number, "text": "..."}')
    count = len(record["segments"])
    corrections: dict[int, str] = {}
    for item in body:
        segment, text = (
            (item.get("segment"), item.get("text")) if isinstance(item, dict) else (None, None)
        )
        if type(segment) is not int or not 0 <= segment < count:
            raise UsageError(f"corrections: no segment {segment!r:.40}; this file has {count}")
        if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
            raise UsageError(
                f"corrections: the text of segment {segment} has to be a string of at most "
                f"{MOST_CHARACTERS} characters"
            )
        if segment in corrections:
            raise UsageError(f"corrections: segment {segment} comes twice")
        corrections[segment] = one_line(text)
    return corrections


def save(path: Path, corrections: Corrections) -> None:
    """Raise `OutputFailed`."""
    atomic.write_text(path, json.dumps(dict(sorted(corrections.items()))) + "\n")


def load(path: Path) -> Corrections:
    """None where the user has corrected nothing."""
    try:
        saved = typed_json.parse(safe_open.read_bounded(path, _MOST_BYTES))
    except FileNotFoundError:
        return {}
    return {int(segment): text for segment, text in saved.items()}


def to_json(corrections: Corrections) -> list[dict[str, Any]]:
    return [{"segment": segment, "text": text} for segment, text in sorted(corrections.items())]


def corrected(record: Record, corrections: Corrections) -> Record:
    """The record with the corrections in its segments, and all of the corrected text as ``text``.

    ``pred_text`` stays what the engine has heard.
    """
    segments = record["segments"]
    texts = [corrections.get(index, segment["text"]) for index, segment in enumerate(segments)]
    changed = [
        _with_text(segment, text) for segment, text in zip(segments, texts, strict=True) if text
    ]
    return {**record, "segments": changed, "text": _whole_text(record, texts)}


def _with_text(segment: dict[str, Any], text: str) -> dict[str, Any]:
    """A segment with another text. The words of the text have the times of those they replace, one
    by one; where there are more or less of them, the times of all are unknown."""
    if text == segment["text"]:
        return segment
    changed = {key: value for key, value in segment.items() if key not in ("words", "chars")}
    words = _timed(segment.get("words") or [], text.split())
    return {**changed, "text": text, **({"words": words} if words else {})}


def _timed(words: Sequence[dict[str, Any]], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The words with other texts; none where they can't be told one by one."""
    heard = [word["word"] for word in words]
    matching = SequenceMatcher(None, heard, texts, autojunk=False).get_opcodes()
    if any(end - start != to - since for _, start, end, since, to in matching):
        return []
    return [
        word if word["word"] == text else {"word": text, "start": word["start"], "end": word["end"]}
        for word, text in zip(words, texts, strict=True)
    ]


def _whole_text(record: Record, texts: Sequence[str]) -> str:
    """The transcript with these texts of its segments, spaced as it is."""
    heard: str = record["pred_text"]
    pieces, at = [], 0
    for segment, text in zip(record["segments"], texts, strict=True):
        found = heard.find(segment["text"], at)
        if found < 0:  # segments in another order than the text
            return " ".join(filter(None, texts))
        pieces += [heard[at:found], text]
        at = found + len(segment["text"])
    return " ".join("".join([*pieces, heard[at:]]).split())
