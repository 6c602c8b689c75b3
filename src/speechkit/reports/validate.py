"""What validate has found: counts of issues, histograms of measures, what got worse."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from speechkit.reports.plurals import counted
from speechkit.reports.run import RunReport
from speechkit.runtime.summary import Summary
from speechkit.runtime.verdicts import BINS
from speechkit.stages.validate.baseline import Comparison, Worse
from speechkit.stages.validate.rules import UNITS

BARS = " ▁▂▃▄▅▆▇█"
ASCII_BARS = " .:-=+*#@"
_WIDE, _MEDIUM = 80, 56  # columns that the table of measures takes with all and with most of it


@dataclass(frozen=True, slots=True)
class ValidateReport:
    """A `Report` of a validation.

    With a ``comparison``, the exit code tells whether something got worse; without, whether
    utterances are invalid. Utterances that failed are counted either way.
    """

    summary: Summary
    comparison: Comparison | None = None

    @property
    def exit_code(self) -> int:
        if self.comparison is None:
            return self.summary.exit_code
        return 3 if self.summary.failed or self.comparison.worse else 0

    def to_json(self) -> dict[str, Any]:
        compared = {} if self.comparison is None else {"comparison": asdict(self.comparison)}
        return {**self.summary.to_json(), **compared, "exit_code": self.exit_code}

    def view(self) -> str:
        width, bars = shutil.get_terminal_size().columns, _bars(sys.stderr.encoding)
        verdicts = self.summary.verdicts or {}
        lines = [RunReport(self.summary).view(), *_findings(verdicts, self.summary.utterances)]
        lines += measure_table(verdicts.get("measures", {}), width, bars)
        if self.comparison:
            lines += _comparison(self.comparison)
        return "\n".join(lines)


def _bars(encoding: str | None) -> str:
    try:
        BARS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_BARS
    return BARS


def _findings(verdicts: Mapping[str, Any], utterances: int) -> Iterator[str]:
    if not verdicts:
        return
    yield f"  valid: {utterances - verdicts['invalid']} of {counted(utterances, 'utterance')}"
    for title in ("issues", "warnings"):
        counts = sorted(verdicts[title].items(), key=lambda item: (-item[1], item[0]))
        yield f"  {title}:{'' if counts else ' none'}"
        for name, count in counts:
            yield f"    {name:<20}{count:>9}  {count / utterances:7.2%}"


def measure_table(measures: Mapping[str, Any], width: int, bars: str) -> Iterator[str]:
    """The quantiles and the histogram of each measure, as wide as the terminal allows."""
    columns = ("5", "50", "95") if width >= _WIDE else ("50",)
    if measures:
        names = {"5": "5 %", "50": "median", "95": "95 %"}
        heads = "".join(f"{names[percent]:>10}" for percent in columns)
        yield f"  {'measure':<20}{heads}"
    for name in filter(measures.__contains__, UNITS):
        values = measures[name]
        numbers = "".join(f"{_figure(values['quantiles'][percent]):>10}" for percent in columns)
        line = f"  {name:<20}{numbers}"
        if width >= _MEDIUM:
            line += f"  {_drawn(values['histogram'], bars)}"
        if width >= _WIDE:
            line += f"  {UNITS[name]}"
        yield line.rstrip()


def _drawn(values: Mapping[str, Any], bars: str) -> str:
    """The histogram of a measure; blank where all values are the same."""
    return histogram(values["shares"], bars) if values["from"] < values["to"] else " " * BINS


def histogram(shares: Sequence[float], bars: str) -> str:
    """A bar for each share; every share above 0 is seen."""
    highest, steps = max(shares) or 1.0, len(bars) - 1
    return "".join(bars[math.ceil(share * steps / highest)] for share in shares)


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _comparison(comparison: Comparison) -> Iterator[str]:
    if comparison.other_options:
        names = ", ".join(comparison.other_options)
        yield f"  {comparison.baseline} was made with other options: {names}"
    if not comparison.worse:
        yield f"  nothing is worse than in {comparison.baseline}"
        return
    yield f"  worse than in {comparison.baseline}:"
    yield f"    {'':<30}{'before':>10}{'now':>10}{'limit':>10}"
    yield from (f"    {_title(worse):<30}{_numbers(worse)}" for worse in comparison.worse)


def _title(worse: Worse) -> str:
    if worse.kind == "invalid":
        return "invalid utterances"
    return f"{worse.kind} {worse.name}"


def _numbers(worse: Worse) -> str:
    form = _figure if worse.kind == "measure" else "{:.2%}".format
    return "".join(f"{form(value):>10}" for value in (worse.before, worse.now, worse.limit))
