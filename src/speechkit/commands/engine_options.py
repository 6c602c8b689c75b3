"""The options that the engines of a stage declare."""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from speechkit.commands.options import Option, parameter
from speechkit.engines import registry
from speechkit.engines.options import OptionInfo, declared
from speechkit.errors import UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineOption:
    """An option of a stage, and the ``engines`` that have it."""

    name: str
    info: OptionInfo
    type: Any
    engines: tuple[str, ...]

    @property
    def flag(self) -> str:
        """The name without leading dashes.

        A switch that is on by default has only the ``no-`` form, unless it is negatable.
        """
        return f"{'no-' if self._switches_off else ''}{self.name.replace('_', '-')}"

    @property
    def parameter_name(self) -> str:
        return self.flag.replace("-", "_")

    def parameter(self) -> inspect.Parameter:
        names = f"--{self.flag}/--no-{self.flag}" if self.info.negatable else f"--{self.flag}"
        further = {"metavar": self.info.metavar, "min": self.info.minimum}
        option = Option(
            names,
            section=f"Engine{'s' * (len(self.engines) > 1)} {_listed(self.engines)}",
            help=f"{self.info.help}{self._default()}",
            choices=self.info.choices,
            **{name: value for name, value in further.items() if value is not None},
        )
        kind = str if self.info.parse else self.type
        return parameter(self.parameter_name, Annotated[Union[kind, None], option], None)  # noqa: UP007

    @property
    def _switches_off(self) -> bool:
        return self.type is bool and self.info.default is True and not self.info.negatable

    def is_given(self, value: Any) -> bool:
        """A switch that is not set, as in a configuration, is as good as absent."""
        plain_switch = self.type is bool and not self.info.negatable
        return value is not None and not (plain_switch and value is False)

    def value(self, given: Any) -> Any:
        if self._switches_off:
            return False
        if not self.info.parse:
            return given
        try:
            return self.info.parse(given)
        except ValueError as e:
            raise UsageError(f"--{self.flag} {given}: {e}") from e

    def _default(self) -> str:
        """The default as a sentence, "" if it is None, auto or a switch's."""
        default = self.info.default
        if default in (None, "auto", ()) or isinstance(default, bool):
            return ""
        values = default if isinstance(default, tuple) else (default,)
        texts = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
        return f" Default: {','.join(texts)}."


class EngineGroup:
    """A `Group` of the options of all engines of a stage. The value has those given, by field."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._options: dict[str, EngineOption] = {}

    def parameters(self, reserved: frozenset[str]) -> list[inspect.Parameter]:
        options = sorted(engine_options(self._stage), key=lambda option: -len(option.engines))
        for option in options:
            if option.parameter_name in reserved | {"help"}:
                log.warning(
                    "--%s of the engine %s is left out: all engines have an option of this name",
                    *(option.flag, _listed(option.engines)),
                )
            else:
                self._options[option.parameter_name] = option
        return [option.parameter() for option in self._options.values()]

    def value(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            self._options[name].name: self._options[name].value(value)
            for name, value in values.items()
            if self._options[name].is_given(value)
        }


def engine_options(stage: str) -> list[EngineOption]:
    """The options of a stage's engines, each once, in the form that its first engine declares."""
    options: dict[str, EngineOption] = {}
    for info in registry.available(stage):
        for name, option in (declared(info.options) if info.options else {}).items():
            kind = _without_none(get_type_hints(info.options)[name])
            first = options.get(name) or EngineOption(name, option, kind, ())
            if first.type != kind:
                log.warning(
                    "--%s: the engine %s declares it as another type than the engine %s; left out",
                    *(first.flag, info.name, first.engines[0]),
                )
                continue
            options[name] = EngineOption(name, first.info, kind, (*first.engines, info.name))
    return list(options.values())


def _without_none(annotation: Any) -> Any:
    """``int`` of ``int | None``."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    return next(kind for kind in get_args(annotation) if kind is not type(None))


def _listed(names: tuple[str, ...]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
