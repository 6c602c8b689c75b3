"""The results of scoring: totals, groups, doubts and the worst utterances, and their JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speechkit.scoring import confidence_interval
from speechkit.scoring.comparison import Aligned, Counts
from speechkit.scoring.confidence_interval import Interval
from speechkit.scoring.unspaced_scripts import Letters


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    normaliser: str = "unicode"  # one of normalise.NORMALISERS
    by: str | None = None  # key to break down by; dots reach into nested objects
    worst: int = 5  # utterances to show aligned


@dataclass(frozen=True, slots=True, kw_only=True)
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
        """The interval of the figure to quote."""
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
    """Scored utterances whose reference has no words, and the insertions in their hypotheses."""

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
    """Scored utterances with flags.

    ``gap_seconds``: of speech without words in them; ``names``: of the first ones.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
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
            "level": confidence_interval.LEVEL,
            "method": "percentile bootstrap over utterances (Bisani & Ney 2004)",
            "resamples": confidence_interval.RESAMPLES,
            "seed": confidence_interval.SEED,
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
