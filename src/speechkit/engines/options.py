"""How an engine declares its options: a dataclass, read by the command line and by the stages.

Plain data: nothing here needs a command-line library, and an engine's package stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

_KEY = "speechkit"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionInfo:
    """One option of an engine, as the command line shows it.

    ``default``: None where the help has nothing to say about it. ``choices``: the only values it
    takes. ``minimum``: of a number. ``pins``: results depend on it, so that a run with another
    value is another run. ``negatable``: a switch with a ``--no-`` form beside it. ``parse``: makes
    the value from the text on the command line; raises ValueError with the reason.
    """

    help: str
    default: Any = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    pins: bool = True
    negatable: bool = False
    parse: Callable[[str], Any] | None = None


def option(default: Any, *, help: str, **info: Any) -> Any:
    """A field of an engine's options that is an option on the command line.

    ``info``: the fields of `OptionInfo`.
    """
    declared = OptionInfo(help=help, default=default, **info)
    return field(default=default, metadata={_KEY: declared})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """The base of every engine's options.

    Fields made by `option` are options on the command line. The stage fills the others where the
    engine has them: ``model``, ``device``, ``batch_size``, and for asr ``words`` and ``chars``.
    """


def declared(options: type[EngineOptions]) -> dict[str, OptionInfo]:
    """The options of an engine on the command line, by name."""
    return {one.name: one.metadata[_KEY] for one in fields(options) if _KEY in one.metadata}
