"""What a model has forgotten: guard sets before the training and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from speechkit.records import Record
from speechkit.training.rates import Rates

MOVED = 0.5  # seconds: a word that begins so much earlier or later than before has lost its time
_ROUNDING = 1e-9  # of a difference of two rates


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRates(Rates):
    """``languages``: the rates of each, if every line of the guard has its ``lang``.

    ``moved``: of the words that the model as given has heard too, the share that now begins more
    than `MOVED` seconds earlier or later; None without such words.
    """

    languages: dict[str, Rates] = field(default_factory=dict)
    moved: float | None = None


def refusal(
    before: Mapping[str, GuardRates], after: Mapping[str, GuardRates], budget: float | None
) -> str:
    """Why the guards refuse a model, as a phrase; "" where they don't.

    ``budget``: the rise of a guard's rate that is allowed, in points.
    """
    for name, now in after.items():
        was = before[name]
        rise = 100 * (now.quoted - was.quoted)
        if budget is not None and rise > budget + _ROUNDING:
            return (
                f"{now.figure.upper()} of guard {name} {100 * now.quoted:.2f} %, "
                f"{100 * was.quoted:.2f} % before the training: {rise:.2f} points more, and "
                f"--guard-budget allows {budget:g}"
            )
    return ""


def moved_share(before: Iterable[Record], after: Iterable[Record]) -> float | None:
    """`GuardRates.moved` of two transcriptions of the same utterances, with word times."""
    common = moved = 0
    for was, now in zip(before, after, strict=True):
        earlier, later = list(_words(was)), list(_words(now))
        matcher = SequenceMatcher(
            None, [word for word, _ in earlier], [word for word, _ in later], autojunk=False
        )
        for first, second, count in matcher.get_matching_blocks():
            common += count
            moved += sum(
                abs(later[second + place][1] - earlier[first + place][1]) > MOVED
                for place in range(count)
            )
    return moved / common if common else None


def _words(record: Record) -> Iterator[tuple[str, float]]:
    for segment in record.get("segments") or ():
        for word in segment.get("words") or ():
            yield word["word"], word["start"]


def comparison(name: str, before: Rates, after: Rates) -> Record:
    """The rates of a set before the training and after, for a report.

    ``worse``: whether the figure to quote has risen.
    """
    return {
        "name": name,
        "utterances": after.utterances,
        "failed": after.failed,
        "figure": after.figure,
        "wer": {"before": before.wer, "after": after.wer},
        "cer": {"before": before.cer, "after": after.cer},
        "worse": after.quoted > before.quoted + _ROUNDING,
    }


def guard_comparison(name: str, before: GuardRates, after: GuardRates) -> Record:
    """`comparison` of a guard, with that of its languages and the share of words that moved."""
    return comparison(name, before, after) | {
        "moved": after.moved,
        "languages": [
            comparison(language, before.languages[language], rates)
            for language, rates in after.languages.items()
        ],
    }
