"""Word and character error rates of hypotheses against references.

Rates are errors over reference length, summed over utterances before dividing, as NeMo and NIST's
sclite do: with the normaliser ``none`` WER and CER are those of NeMo's ``word_error_rate``. Words
are what stands between spaces, characters are code points (`normalise.characters`). Scripts that
put no spaces between words have no words to count: there CER is the figure to quote.

- A failed utterance (``error``) counts as an empty hypothesis: all its words are deletions.
- A record without ``text`` can't be scored; it is counted and named.
- An empty reference has no rate of its own. What was heard there counts as insertions of the
  whole, as in NeMo and sclite, and is counted separately besides.
- A record with a reference but neither ``pred_text`` nor ``error`` was never transcribed: that is
  refused, since leaving it out or counting it would both state a rate that nothing measured.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from speechkit.errors import UsageError
from speechkit.io.judge import MOST_SECONDS
from speechkit.records import Record
from speechkit.scoring import bootstrap
from speechkit.scoring.bootstrap import Interval
from speechkit.scoring.comparison import Aligned, Comparison, Counts, compare
from speechkit.scoring.normalise import characters, normaliser
from speechkit.scoring.unspaced_scripts import Letters

_NAMES = 20  # records without a reference, or with a doubt, that are named

Emit = Callable[[Record], object]


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    normaliser: str = "unicode"  # one of normalise.NORMALISERS
    by: str | None = None  # key to break down by; dots reach into nested objects
    worst: int = 5  # utterances to show aligned


@dataclass(frozen=True, slots=True)
class Group:
    """The totals of a set of scored utterances; intervals are at 95 %, None where undefined."""

    utterances: int
    failed: int
    words: Counts
    chars: Counts
    letters: Letters  # of the references
    wer_interval: Interval | None
    cer_interval: Interval | None

    @property
    def leading_interval(self) -> Interval | None:
        """That of the figure to quote."""
        return self.cer_interval if self.letters.figure == "cer" else self.wer_interval

    def to_json(self) -> dict[str, Any]:
        return {
            "figure_to_quote": self.letters.figure,
            "why_this_figure": self.letters.why,
            "utterances": self.utterances,
            "failed": self.failed,
            "wer": self.words.rate,
            "wer_interval": self.wer_interval,
            "cer": self.chars.rate,
            "cer_interval": self.cer_interval,
            "words": self.words.to_json(),
            "chars": self.chars.to_json(),
        }


@dataclass(frozen=True, slots=True)
class EmptyReferences:
    """Scored utterances whose reference has no words, and what was heard there all the same."""

    utterances: int = 0
    inserted_words: int = 0
    inserted_chars: int = 0

    def plus(self, words: Counts, chars: Counts) -> EmptyReferences:
        return EmptyReferences(
            self.utterances + 1,
            self.inserted_words + words.insertions,
            self.inserted_chars + chars.insertions,
        )

    def to_json(self) -> dict[str, int]:
        return {
            "utterances": self.utterances,
            "inserted_words": self.inserted_words,
            "inserted_chars": self.inserted_chars,
        }


@dataclass(frozen=True, slots=True)
class Doubts:
    """Scored utterances that a stage has flagged. ``gap_seconds``: of speech without words in them;
    ``names``: the first of them."""

    utterances: int
    flags: dict[str, int]  # by name, how many utterances have it
    gap_seconds: float
    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "utterances": self.utterances,
            "flags": self.flags,
            "gap_seconds": self.gap_seconds,
            "first": list(self.names),
        }


@dataclass(frozen=True, slots=True)
class Score:
    options: ScoreOptions
    total: Group
    groups: dict[str, Group]  # by value of the field options.by, in order of name
    worst: tuple[Aligned, ...]  # highest rate first, then most errors; no failed ones
    empty_references: EmptyReferences
    doubts: Doubts
    without_reference: int  # records that can't be scored
    without_reference_names: tuple[str, ...]  # the first of them

    def to_json(self) -> dict[str, Any]:
        result = {"normaliser": self.options.normaliser, **self.total.to_json()}
        result["interval"] = {
            "level": bootstrap.LEVEL,
            "method": "percentile bootstrap over utterances (Bisani & Ney 2004)",
            "resamples": bootstrap.RESAMPLES,
            "seed": bootstrap.SEED,
        }
        result["empty_references"] = self.empty_references.to_json()
        result["doubts"] = self.doubts.to_json()
        result["without_reference"] = {
            "records": self.without_reference,
            "first": list(self.without_reference_names),
        }
        if self.options.by is not None:
            groups = {name: group.to_json() for name, group in self.groups.items()}
            result["by"] = {"field": self.options.by, "groups": groups}
        result["worst"] = [aligned.to_json() for aligned in self.worst]
        return result


def score(
    records: Iterable[Record], options: ScoreOptions | None = None, emit: Emit | None = None
) -> Score:
    """Compare ``text`` with ``pred_text`` in every record; streams, keeping counts alone.

    ``emit`` is given every record in order, with the keys ``wer``, ``cer``, ``word_errors`` and
    ``char_errors`` added (null where it wasn't scored). Raises `UsageError` for a record that was
    never transcribed, and where nothing has a reference.
    """
    options = options or ScoreOptions()
    total, groups = _Tally(), dict[str, _Tally]()
    worst = _Worst(options.worst)
    empty = EmptyReferences()
    doubts = _DoubtTally()
    unscored, names = 0, list[str]()
    for result in compare(records, normaliser(options.normaliser), characters(options.normaliser)):
        if emit is not None:
            emit(result.record())
        if not result.text.scored:
            unscored += 1
            names += [result.text.name] * (len(names) < _NAMES)
            continue
        total.add(result)
        if options.by is not None:
            groups.setdefault(field_value(result.text.record, options.by), _Tally()).add(result)
        if not result.words.reference:
            empty = empty.plus(result.words, result.chars)
        worst.offer(result)
        doubts.add(result.text.record, result.text.name)
    if not total.utterances:
        raise UsageError(
            f"{unscored} records, none with a reference: give them their `text`, for example with "
            "`speechkit manifest`, which finds references beside the audio"
            if unscored
            else "nothing to score: the input holds no records"
        )
    return Score(
        options=options,
        total=total.group(),
        groups={name: groups[name].group() for name in sorted(groups)},
        worst=worst.ranked(),
        empty_references=empty,
        doubts=doubts.doubts(),
        without_reference=unscored,
        without_reference_names=tuple(names),
    )


def field_value(record: Record, key: str) -> str:
    """The record's value of a key, or of a dotted path into nested objects, as a group's name."""
    value: Any = record
    if key in record:
        value = record[key]
    else:
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(slots=True)
class _Tally:
    """A group while it is being counted."""

    utterances: int = 0
    failed: int = 0
    words: Counts = field(default_factory=Counts)
    chars: Counts = field(default_factory=Counts)
    letters: Letters = field(default_factory=Letters)
    word_pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    char_pairs: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, result: Comparison) -> None:
        self.utterances += 1
        self.failed += result.text.failed
        self.words += result.words
        self.chars += result.chars
        self.letters += result.letters
        self.word_pairs[result.words.errors, result.words.reference] += 1
        self.char_pairs[result.chars.errors, result.chars.reference] += 1

    def group(self) -> Group:
        return Group(
            utterances=self.utterances,
            failed=self.failed,
            words=self.words,
            chars=self.chars,
            letters=self.letters,
            wer_interval=bootstrap.interval(self.word_pairs),
            cer_interval=bootstrap.interval(self.char_pairs),
        )


def _listed(value: object) -> list[Any]:
    """The value of one of our keys that holds a list; where it holds none, it is another tool's."""
    return value if isinstance(value, list) else []


def _seconds(gap: object) -> float:
    match gap:
        case {"start": int() | float() as start, "end": int() | float() as end}:
            return end - start if 0 <= start <= end <= MOST_SECONDS else 0.0
    return 0.0


@dataclass(slots=True)
class _DoubtTally:
    """`Doubts` while they are being counted."""

    utterances: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    gap_seconds: float = 0.0
    names: list[str] = field(default_factory=list)

    def add(self, record: Record, name: str) -> None:
        flags = _listed(record.get("flags"))
        if not flags:
            return
        self.utterances += 1
        self.flags.update(map(str, flags))
        self.names += [name] * (len(self.names) < _NAMES)
        if "low_coverage" in flags:
            self.gap_seconds += sum(map(_seconds, _listed(record.get("gaps"))))

    def doubts(self) -> Doubts:
        flags = dict(sorted(self.flags.items()))
        return Doubts(self.utterances, flags, round(self.gap_seconds, 3), tuple(self.names))


class _Worst:
    """Keeps the N utterances of the highest rates, each by its own figure (WER or CER).

    An empty reference ranks as one of a single word.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[float, int, int, Aligned]] = []
        self._seen = 0

    def offer(self, result: Comparison) -> None:
        self._seen += 1
        errors = result.leading.errors
        if not errors or result.text.failed:
            return
        rank = (errors / max(1, result.leading.reference), errors, -self._seen)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (*rank, result.aligned()))
        elif self._heap and rank > self._heap[0][:3]:
            heapq.heapreplace(self._heap, (*rank, result.aligned()))

    def ranked(self) -> tuple[Aligned, ...]:
        return tuple(aligned for *_, aligned in sorted(self._heap, reverse=True))
