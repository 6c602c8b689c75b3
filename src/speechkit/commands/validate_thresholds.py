"""The thresholds of validate as options, made from the table of rules."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Annotated, Any

from speechkit.commands.options import Option, parameter
from speechkit.errors import UsageError
from speechkit.stages.validate.rules import ABOVE, RULES, UNITS, Rule

METAVARS = {
    **{"": "N", "per second": "N", "seconds": "SECONDS", "0 to 1": "SHARE", "Hz": "HZ"},
    **{"1 to 5": "MOS", "%": "PERCENT", "% of full scale": "PERCENT"},
}


#: The least and the most that a threshold can be, by unit; decibels can be anything.
RANGES = {
    **dict.fromkeys(("", "per second", "seconds", "Hz"), (0.0, math.inf)),
    **dict.fromkeys(("%", "% of full scale"), (0.0, 100.0)),
    **{"0 to 1": (0.0, 1.0), "1 to 5": (1.0, 5.0)},
}


class ThresholdGroup:
    """A `Group` of a threshold for each rule that has one. The value has those given, by option."""

    def parameters(self, reserved: frozenset[str]) -> list[inspect.Parameter]:
        return [
            parameter(rule.option, Annotated[float | None, _option(rule)], None)
            for rule in RULES
            if rule.option
        ]

    def value(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Raises `UsageError` for a threshold that no value can have."""
        given = {name: value for name, value in values.items() if value is not None}
        for rule in RULES:
            if rule.option in given:
                _require_possible(rule, given[rule.option])
        return given


def _require_possible(rule: Rule, limit: float) -> None:
    least, most = RANGES.get(UNITS[rule.measure], (-math.inf, math.inf))
    if math.isfinite(limit) and least <= limit <= most:
        return
    allowed = "a finite number"
    if math.isfinite(least):
        allowed += f" from {least:g} to {most:g}" if math.isfinite(most) else f" from {least:g} up"
    raise UsageError(f"{_name(rule)} {limit:g}: must be {allowed}")


def _name(rule: Rule) -> str:
    return f"--{rule.option.replace('_', '-')}"


def _option(rule: Rule) -> Any:
    unit = UNITS[rule.measure]
    kind = "Issue" if rule.blocking else "Warning"
    comparison = "more" if rule.comparison == ABOVE else "less"
    default = "no limit" if rule.threshold is None else f"{rule.threshold:g}"
    metavar = METAVARS.get(unit, unit.upper())
    return Option(
        _name(rule),
        section=rule.section,
        metavar=metavar,
        help=f"{kind} {rule.name}: {comparison} than this. Default: {default}.",
    )
