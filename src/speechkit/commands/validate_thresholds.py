"""The thresholds of validate as options, made from the table of rules."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

from speechkit.commands.options import Option, parameter
from speechkit.stages.validate.rules import ABOVE, MEASURES, RULES, Rule

UNITS = {measure.name: measure.unit for measure in MEASURES} | {"duration": "seconds"}

METAVARS = {
    **{"": "N", "per second": "N", "seconds": "SECONDS", "0 to 1": "SHARE", "Hz": "HZ"},
    **{"1 to 5": "MOS", "%": "PERCENT", "% of full scale": "PERCENT"},
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
        return {name: value for name, value in values.items() if value is not None}


def _option(rule: Rule) -> Any:
    unit = UNITS[rule.measure]
    kind = "Issue" if rule.blocking else "Warning"
    comparison = "more" if rule.comparison == ABOVE else "less"
    default = "no limit" if rule.threshold is None else f"{rule.threshold:g}"
    metavar = METAVARS.get(unit, unit.upper())
    return Option(
        f"--{rule.option.replace('_', '-')}",
        section=rule.section,
        metavar=metavar,
        help=f"{kind} {rule.name}: {comparison} than this. Default: {default}.",
    )
