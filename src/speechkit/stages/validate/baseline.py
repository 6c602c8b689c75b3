"""The comparison of a data set with an earlier delivery, by the summaries of their validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechkit.errors import UsageError
from speechkit.io import safe_open, typed_json
from speechkit.stages.validate.rules import ABOVE, BELOW, RULES

_MOST_BYTES = 1 << 24  # of a summary
_ENOUGH = 10  # values of a measure, below which its median is chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Worse:
    """Something that got worse: a share of the utterances, or the median of a measure.

    ``kind``: ``invalid``, ``issue``, ``warning`` or ``measure``. ``limit``: what ``now`` has
    crossed.
    """

    kind: str
    name: str
    before: float
    now: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What got worse since the summary in the file ``baseline``, and the ``other_options`` that
    one of the two validations had."""

    baseline: str
    worse: tuple[Worse, ...]
    other_options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The summary of an earlier validation.

    ``shares`` of its utterances, by kind and name of the finding. ``quartiles`` of each measure.
    """

    file: str
    options: Mapping[str, Any]
    shares: Mapping[tuple[str, str], float] = field(default_factory=dict)
    quartiles: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def compared(self, summary: Mapping[str, Any], tolerance: float) -> Comparison:
        """What got worse in the ``summary`` of a later validation.

        A share is worse if it rose by more than the ``tolerance`` (0.01 is one of a hundred
        utterances). A measure with a rule is worse if its median left the middle half of the
        baseline's values, towards the threshold of the rule; one that has rules on both sides, as
        the duration, is compared by the shares of their findings alone.
        """
        known = self.options.keys() | summary["options"].keys()
        return Comparison(
            baseline=self.file,
            worse=(*self._worse_shares(summary, tolerance), *self._worse_measures(summary)),
            other_options=tuple(
                sorted(n for n in known if self.options.get(n) != summary["options"].get(n))
            ),
        )

    def _worse_shares(self, summary: Mapping[str, Any], tolerance: float) -> Iterator[Worse]:
        for (kind, name), now in _shares(summary).items():
            before = self.shares.get((kind, name), 0.0)
            if now > before + tolerance + 1e-9:
                limit = round(before + tolerance, 6)
                yield Worse(kind=kind, name=name, before=before, now=now, limit=limit)

    def _worse_measures(self, summary: Mapping[str, Any]) -> Iterator[Worse]:
        later = _quartiles(summary)
        for name, (low, median, high) in self.quartiles.items():
            now = later[name][1] if name in later else median
            directions = {rule.comparison for rule in RULES if rule.measure == name}
            if {BELOW, ABOVE} <= directions:
                continue
            if BELOW in directions and now < low and not math.isclose(now, low, rel_tol=0.01):
                yield Worse(kind="measure", name=name, before=median, now=now, limit=low)
            if ABOVE in directions and now > high and not math.isclose(now, high, rel_tol=0.01):
                yield Worse(kind="measure", name=name, before=median, now=now, limit=high)


def read_baseline(path: str) -> Baseline:
    """Read the summary of a validation. Raise `UsageError` for any other file."""
    try:
        summary = typed_json.parse(safe_open.read_bounded(Path(path), _MOST_BYTES))
        if summary["stage"] != "validate":
            raise ValueError(f"the stage is {summary['stage']!r}")
        return Baseline(
            file=path,
            options=dict(summary["options"]),
            shares=_shares(summary),
            quartiles=_quartiles(summary),
        )
    except OSError as e:
        raise UsageError(f"--baseline {path}: can't be read: {e.strerror or e}") from e
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageError(
            f"--baseline {path}: is not the summary of a validation; "
            "speechkit validate --summary writes one"
        ) from e


def _shares(summary: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """The share of utterances that are invalid, and with each issue and warning."""
    counts = {("invalid", ""): summary["invalid"]}
    counts |= {("issue", name): count for name, count in summary["issues"].items()}
    counts |= {("warning", name): count for name, count in summary["warnings"].items()}
    total = max(1, _count(summary["utterances"]))
    return {key: round(_count(count) / total, 6) for key, count in counts.items()}


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _quartiles(summary: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """The quartiles of each measure that has enough values."""
    return {
        name: (_finite(of["25"]), _finite(of["50"]), _finite(of["75"]))
        for name, values in summary["measures"].items()
        if _count(values["count"]) >= _ENOUGH and (of := values["quantiles"])
    }


def _finite(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is no value of a measure")
    return float(value)
