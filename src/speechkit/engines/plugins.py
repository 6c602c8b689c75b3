"""Engines of other packages: entry points of the group ``speechkit.engines``.

An entry point has the engine's name and names its `EngineInfo`. One that is broken costs only
itself: it is left out, and the reason is one sentence that names its package.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import types
from collections.abc import Sequence
from importlib import metadata
from typing import Union, get_args, get_origin, get_type_hints

from speechkit.engines.engine_info import STAGES, EngineInfo
from speechkit.engines.options import EngineOptions, declared

log = logging.getLogger(__name__)

GROUP = "speechkit.engines"
PLAIN_TYPES = {str, int, float, bool, type(None)}  # of options that need no parse


@functools.cache
def _entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=GROUP))


@functools.cache
def _loaded(own: Sequence[EngineInfo]) -> tuple[dict[str, EngineInfo], dict[str, str]]:
    """By entry point: the engines, and the reasons of those that are left out."""
    found: dict[str, EngineInfo] = {}
    problems: dict[str, str] = {}
    taken = {(info.stage, info.name): "speechkit" for info in own}
    for entry in sorted(_entry_points(), key=lambda one: (one.name, one.value)):
        package = entry.dist.name if entry.dist else entry.value
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for data alone
                info = entry.load()
            _require_usable(info, taken)
        except (Exception, SystemExit) as e:  # another package's code can raise anything
            reason = str(e) or type(e).__name__
            problems[entry.name] = (
                f"the engine {entry.name} of the package {package} can't be used: {reason}; "
                f"update or remove {package}"
            )
            log.warning("%s", problems[entry.name])
            continue
        taken[info.stage, info.name] = package
        found[entry.name] = info
    return found, problems


def _require_usable(info: object, taken: dict[tuple[str, str], str]) -> None:
    """Raises TypeError or ValueError with the reason."""
    if not isinstance(info, EngineInfo):
        raise TypeError(f"its entry point names no EngineInfo but {info!r}")
    if info.stage not in STAGES:
        raise ValueError(f"its stage is {info.stage!r}, none of {', '.join(STAGES)}")
    if holder := taken.get((info.stage, info.name)):
        raise ValueError(f"{holder} has an {info.stage} engine named {info.name}")
    if info.options is not None:
        _require_options(info.options)


def _require_options(options: object) -> None:
    """Raises TypeError for options that the command line can't offer."""
    if not (isinstance(options, type) and issubclass(options, EngineOptions)):
        raise TypeError(f"its options are no EngineOptions but {options!r}")
    kinds = get_type_hints(options)
    for name, info in declared(options).items():
        kind = kinds[name]
        alternatives = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
        if not info.parse and not {*alternatives} <= PLAIN_TYPES:
            raise TypeError(f"its option {name} is of the type {kind} and has no parse")
        if not all(isinstance(choice, str) for choice in info.choices):
            raise TypeError(f"the choices of its option {name} are no strings")


def engines(own: Sequence[EngineInfo]) -> list[EngineInfo]:
    """The engines of other packages whose names are not among ``own``."""
    return list(_loaded(tuple(own))[0].values())


def problem(name: str, own: Sequence[EngineInfo]) -> str | None:
    """The reason why the entry point of this name is left out."""
    return _loaded(tuple(own))[1].get(name)


def problems(own: Sequence[EngineInfo]) -> dict[str, str]:
    """The reasons of all entry points that are left out, by name."""
    return dict(_loaded(tuple(own))[1])
