"""What a page about a validation shows, gathered from its manifest in flat memory."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from speechkit.io import manifest
from speechkit.records import Record
from speechkit.runtime.verdicts import Verdicts
from speechkit.stages.validate.rules import ABOVE, BELOW, RULES, Rule

CASES = 6  # of a finding
ROWS = 2000  # flagged utterances in the table, and
ROWS_OF_EACH = 20  # of each finding at least
NAME, TEXT = 160, 300  # characters that are shown
TEXTS = ("text", "pred_text")
DEFAULT_RATE = 16_000  # Hz, where the file's is not known
ERROR = "error"  # the issue of an utterance that failed

FINDINGS: Mapping[str, Rule | None] = {rule.name: rule for rule in RULES} | {ERROR: None}


@dataclass(frozen=True, slots=True)
class Flagged:
    """An utterance with issues or warnings. ``values``: those that its findings are about;
    ``places``: where the findings are, by their names, in seconds."""

    name: str
    path: str
    offset: float
    duration: float | None
    sample_rate: int
    issues: Sequence[str]
    warnings: Sequence[str]
    values: Mapping[str, Any]
    places: Mapping[str, float]
    texts: Mapping[str, str]
    message: str


@dataclass(slots=True)
class Survey:
    """Counts, distributions, the worst cases of each finding, and rows of a table."""

    verdicts: Verdicts = field(default_factory=Verdicts)
    utterances: int = 0
    flagged: int = 0
    seconds: float = 0.0
    rows: list[Flagged] = field(default_factory=list)
    _shown: Counter[str] = field(default_factory=Counter)
    _worst: dict[str, list[tuple[float, int, Flagged]]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.verdicts.count(record)
        self.utterances += 1
        self.seconds += record.get("duration") or 0.0
        issues, warnings = (_known(record.get(key)) for key in ("issues", "warnings"))
        if not issues and not warnings:
            return
        self.flagged += 1
        one = _flagged(record, issues, warnings)
        for name in (*issues, *warnings):
            worst = self._worst.setdefault(name, [])
            heapq.heappush(worst, (_severity(name, record), -self.utterances, one))
            if len(worst) > CASES:
                heapq.heappop(worst)
        rare = any(self._shown[name] < ROWS_OF_EACH for name in (*issues, *warnings))
        if rare or len(self.rows) < ROWS:
            self.rows.append(one)
            self._shown.update((*issues, *warnings))

    def worst(self) -> dict[str, list[Flagged]]:
        """The worst cases of each finding, the worst first; issues first, frequent ones first."""
        order = [
            *(name for name, _ in self.verdicts.issues.most_common()),
            *(name for name, _ in self.verdicts.warnings.most_common()),
        ]
        names = [name for name in dict.fromkeys(order) if name in self._worst]
        return {name: [one for *_, one in sorted(self._worst[name])[::-1]] for name in names}


def value_of(name: str, values: Mapping[str, Any]) -> Any:
    """The value that a finding is about, None where it is about none."""
    rule = FINDINGS[name]
    return values.get(rule.measure) if rule else None


def shortened(text: object, most: int) -> str:
    """The end of a long text, where names differ."""
    text = str(text)
    return text if len(text) <= most else "…" + text[1 - most :]


def _known(names: Any) -> list[str]:
    return [name for name in names or () if name in FINDINGS]


def _severity(name: str, record: Record) -> float:
    """How bad a case is; the first ones are, where no number tells."""
    rule, measures = FINDINGS[name], record.get("measures") or {}
    value = value_of(name, {"duration": record.get("duration"), **measures})
    if rule is None or isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return {ABOVE: 1.0, BELOW: -1.0}.get(rule.comparison, 0.0) * float(value)


def _flagged(record: Record, issues: list[str], warnings: list[str]) -> Flagged:
    measures = record.get("measures") or {}
    values = {"duration": record.get("duration"), **measures}
    rules = [rule for name in (*issues, *warnings) if (rule := FINDINGS[name])]
    error = record.get("error") or measures
    return Flagged(
        name=shortened(manifest.name(record), NAME),
        path=str(record.get("audio_filepath") or ""),
        offset=record.get("offset") or 0.0,
        duration=record.get("duration"),
        sample_rate=measures.get("sample_rate", DEFAULT_RATE),
        issues=issues,
        warnings=warnings,
        values={rule.measure: values.get(rule.measure) for rule in rules},
        places={rule.name: values[at] for rule in rules if (at := f"{rule.measure}_at") in values},
        texts={key: shortened(record[key], TEXT) for key in TEXTS if record.get(key)},
        message=shortened(error.get("message", ""), TEXT),
    )
