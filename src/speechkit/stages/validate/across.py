"""What depends on the whole data set: repeated audio, and splits that share audio or speakers.

An utterance is judged against the valid ones before it. Records therefore stream through, and what
is left without the flagged ones has neither duplicates nor leaks. The first of several equal
utterances stays valid: name the split first that is to keep its utterances.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from typing import Any

from speechkit.records import Record
from speechkit.stages.validate.compact import NumberTable, SimilarStrings, digest
from speechkit.stages.validate.texts import letters

DUPLICATE_LINE = "duplicate_line"
DUPLICATE_AUDIO = "duplicate_audio"
LEAKED_AUDIO = "leaked_audio"
LEAKED_SPEAKER = "leaked_speaker"
DUPLICATE_OF = "duplicate_of"  # the measure that names the earlier line with this audio
SPEAKER_OF = "speaker_of"  # the measure that names that of another split with this speaker
WRONG_TEXT = "wrong_text"  # the issue of a text that isn't that of its audio
TEXT_BELONGS_TO = "text_belongs_to"  # the measure that names an earlier line whose audio says it
TEXT_FOUND_AT = "text_found_at"  # that of an earlier line with the text that this audio says

_ISSUES = frozenset({DUPLICATE_LINE, DUPLICATE_AUDIO, LEAKED_AUDIO, LEAKED_SPEAKER})
_MEASURES = frozenset({DUPLICATE_OF, SPEAKER_OF, TEXT_BELONGS_TO, TEXT_FOUND_AT})
_REMEMBERED = 256  # lines with the text of another
_ALIKE = 0.7  # similarity of a text and what was heard of it, 0 to 1


def across(records: Iterator[Record]) -> Iterator[Record]:
    """The records, with the issues that they have because of earlier ones.

    Records that went through before get these issues anew.
    """
    earlier, misplaced = _Earlier(), _MisplacedTexts()
    for line, record in enumerate(records, 1):
        if record.get("error") is not None:
            yield record
            continue
        own = [issue for issue in record["issues"] if issue not in _ISSUES]
        measures = {k: v for k, v in record["measures"].items() if k not in _MEASURES}
        utterance = _Utterance(record, measures)
        shared, named = earlier.shared_with(utterance)
        if WRONG_TEXT in own:
            named |= misplaced.found(line, record)
        issues = sorted([*own, *shared])
        if not issues:
            earlier.add(line, utterance)
        yield {**record, "valid": not issues, "issues": issues, "measures": measures | named}


class _Utterance:
    """What is compared of an utterance. ``split`` is "" where none is known.

    ``place``: its path and offset. ``audio``: 64 bits of its samples or, where they are not known,
    of its place and duration. ``speaker``: 64 bits of the name, 0 where none is known.
    """

    def __init__(self, record: Record, measures: Record) -> None:
        self.place = f"{record['audio_filepath']} {record.get('offset') or 0.0:.6f}"
        fingerprint = measures.get("fingerprint")
        self.audio = (
            int(fingerprint[:16], 16)
            if fingerprint
            else digest(f"{self.place} {record.get('duration')}")
        )
        self.split = _text(record.get("split"))
        speaker = _text(record.get("speaker"))
        self.speaker = digest(speaker) if speaker else 0


class _Earlier:
    """The valid utterances so far, in 50 to 70 bytes each. Numbers count them from 1."""

    def __init__(self) -> None:
        self._by_audio = NumberTable()
        self._by_speaker = NumberTable()
        self._places = SimilarStrings()
        self._lines = array("I")
        self._splits = array("I")  # places in the next one
        self._split_numbers: dict[str, int] = {}

    def add(self, line: int, utterance: _Utterance) -> None:
        self._places.append(utterance.place)
        self._lines.append(line)
        self._splits.append(self._split_number(utterance.split))
        number = len(self._lines)
        self._by_audio.add(utterance.audio, number)
        speaker = utterance.speaker
        if utterance.split and speaker and not self._by_speaker.get(speaker):
            self._by_speaker.add(speaker, number)

    def shared_with(self, utterance: _Utterance) -> tuple[list[str], Record]:
        """The issues of an utterance, and the measures that name the lines they are about."""
        issues: list[str] = []
        named: Record = {}
        if number := self._by_audio.get(utterance.audio):
            named[DUPLICATE_OF] = self._name(number)
            if self._is_of_another_split(utterance, number):
                issues.append(LEAKED_AUDIO)
            elif self._places[number - 1] == utterance.place:
                issues.append(DUPLICATE_LINE)
            else:
                issues.append(DUPLICATE_AUDIO)
        number = self._by_speaker.get(utterance.speaker) if utterance.speaker else 0
        if number and self._is_of_another_split(utterance, number):
            named[SPEAKER_OF] = self._name(number)
            issues.append(LEAKED_SPEAKER)
        return issues, named

    def _is_of_another_split(self, utterance: _Utterance, number: int) -> bool:
        split = self._splits[number - 1]
        known = split and utterance.split
        return bool(known) and split != self._split_number(utterance.split)

    def _split_number(self, split: str) -> int:
        """The number of a split, 0 for no split."""
        if not split:
            return 0
        return self._split_numbers.setdefault(split, len(self._split_numbers) + 1)

    def _name(self, number: int) -> Record:
        path, _, offset = self._places[number - 1].rpartition(" ")
        name: dict[str, Any] = {"line": self._lines[number - 1], "audio_filepath": path}
        return name if float(offset) == 0 else {**name, "offset": float(offset)}


class _MisplacedTexts:
    """The latest lines with the text of another: texts that are swapped or shifted lie near."""

    def __init__(self) -> None:
        self._names: deque[Record] = deque(maxlen=_REMEMBERED)
        self._texts: deque[str] = deque(maxlen=_REMEMBERED)
        self._heard: deque[str] = deque(maxlen=_REMEMBERED)

    def found(self, line: int, record: Record) -> Record:
        """The measures that name the lines between which the text was confused."""
        text, heard = letters(record["text"]), letters(record["pred_text"])
        pairs = {TEXT_BELONGS_TO: (text, self._heard), TEXT_FOUND_AT: (heard, self._texts)}
        found = {measure: self._like(*pair) for measure, pair in pairs.items()}
        self._names.append({"line": line, "audio_filepath": record["audio_filepath"]})
        self._texts.append(text)
        self._heard.append(heard)
        return {measure: name for measure, name in found.items() if name}

    def _like(self, text: str, others: deque[str]) -> Record | None:
        from rapidfuzz import process
        from rapidfuzz.distance import Levenshtein

        best = process.extractOne(
            text, others, scorer=Levenshtein.normalized_similarity, score_cutoff=_ALIKE
        )
        return self._names[best[2]] if best else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)
