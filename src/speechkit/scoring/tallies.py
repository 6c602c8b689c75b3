"""The counts of a score while it is being computed, utterance by utterance."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from speechkit.io.manifest_checks import MOST_SECONDS
from speechkit.records import Record
from speechkit.scoring import confidence_interval
from speechkit.scoring.comparison import Aligned, Comparison, Counts
from speechkit.scoring.results import Doubts, Group
from speechkit.scoring.unspaced_scripts import Letters

MAX_NAMES = 20  # records without a reference, or with a doubt, that are named


@dataclass(slots=True)
class GroupTally:
    """A `Group` while it is being counted."""

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
            wer_interval=confidence_interval.interval(self.word_pairs),
            cer_interval=confidence_interval.interval(self.char_pairs),
        )


def _listed(value: object) -> list[Any]:
    """The value if it is a list; any other value of such a key is another tool's, and ignored."""
    return value if isinstance(value, list) else []


def _seconds(gap: object) -> float:
    match gap:
        case {"start": int() | float() as start, "end": int() | float() as end}:
            return end - start if 0 <= start <= end <= MOST_SECONDS else 0.0
    return 0.0


@dataclass(slots=True)
class DoubtTally:
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
        self.names += [name] * (len(self.names) < MAX_NAMES)
        if "low_coverage" in flags:
            self.gap_seconds += sum(map(_seconds, _listed(record.get("gaps"))))

    def doubts(self) -> Doubts:
        flags = dict(sorted(self.flags.items()))
        return Doubts(self.utterances, flags, round(self.gap_seconds, 3), tuple(self.names))


class WorstUtterances:
    """The N utterances with the highest rates, each by its own figure (WER or CER).

    An empty reference ranks as if it were a single word.
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
