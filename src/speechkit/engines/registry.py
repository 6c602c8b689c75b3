"""The engines: our own, one folder each, and those of other packages, by entry points.

An engine is imported when it is built; its description is light.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from speechkit import engines
from speechkit.engines import plugins
from speechkit.engines.engine_info import STAGES, EngineInfo
from speechkit.engines.options import EngineOptions, declared
from speechkit.errors import EngineMissing, SpeechkitError, UsageError


def _own() -> tuple[EngineInfo, ...]:
    """The folders ``engines/<stage>/<name>``; a stage's default engine comes first."""
    found = [
        importlib.import_module(f"{engines.__name__}.{stage}.{module.name}").INFO
        for stage in STAGES
        for module in pkgutil.iter_modules([f"{engines.__path__[0]}/{stage}"])
        if module.ispkg
    ]
    return tuple(sorted(found, key=lambda info: (STAGES.index(info.stage), not info.default)))


ENGINES = _own()


def available(stage: str) -> list[EngineInfo]:
    """The engines of a stage, our own before those of other packages."""
    return [info for info in (*ENGINES, *plugins.engines(ENGINES)) if info.stage == stage]


def names(stage: str) -> list[str]:
    return [info.name for info in available(stage)]


def default(stage: str) -> str:
    """The name of a stage's engine where none is given."""
    return next(info.name for info in ENGINES if info.stage == stage and info.default)


def find(stage: str, name: str) -> EngineInfo:
    """Raises `UsageError` naming the engines there are, `EngineMissing` for a broken one."""
    for info in ENGINES:  # alone first: entry points take milliseconds to read
        if (info.stage, info.name) == (stage, name):
            return info
    for info in plugins.engines(ENGINES):
        if (info.stage, info.name) == (stage, name):
            return info
    if reason := problem(name):
        raise EngineMissing(reason)
    raise UsageError(f"no {stage} engine {name!r}; there are: {', '.join(names(stage))}")


def problem(name: str) -> str | None:
    """The reason why another package's engine of this name is left out."""
    return plugins.problem(name, ENGINES)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine with its options, before it is built; pickled to the worker processes."""

    info: EngineInfo
    options: EngineOptions | None

    def value(self, name: str) -> Any:
        """Of one of its options."""
        return getattr(self.options, name)

    def with_values(self, **values: Any) -> Engine:
        """With other values for some of its options."""
        assert self.options
        return replace(self, options=replace(self.options, **values))

    def build(self) -> Any:
        """Raises `EngineMissing` with the command that installs the missing package."""
        try:
            target = _target(self.info)
            return target() if self.options is None else target(self.options)
        except ImportError as e:
            raise EngineMissing(_lacking(self.info, e)) from e


def configure(info: EngineInfo, values: Mapping[str, Any]) -> Engine:
    """An engine with these options. Raises `UsageError` for those that it doesn't take."""
    require_taken(info, values)
    return Engine(info, info.options(**values) if info.options else None)


def create(stage: str, name: str, **values: Any) -> Any:
    """The engine, built. Raises `UsageError` and `EngineMissing`."""
    return configure(find(stage, name), values).build()


def require_taken(info: EngineInfo, values: Mapping[str, Any]) -> None:
    """Raises `UsageError` for options that the engine has not, naming the engines that have them,
    and for values that are none of an option's choices."""
    unknown = [name for name in values if not info.takes(name)]
    if unknown:
        flags = ", ".join(_flag(name, values[name]) for name in unknown)
        having = [one.name for one in available(info.stage) if all(map(one.takes, unknown))]
        others = f"; for {', '.join(having)}" if having else ""
        raise UsageError(f"{flags}: not for the engine {info.name}{others}")
    known = declared(info.options) if info.options else {}
    for name in known.keys() & values.keys():
        choices = known[name].choices
        if choices and values[name] not in choices:
            raise UsageError(f"{_flag(name)} {values[name]}: there are {', '.join(choices)}")


def pinned(info: EngineInfo, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an engine's options that results depend on."""
    known = declared(info.options) if info.options else {}
    return {name: value for name, value in values.items() if name in known and known[name].pins}


def _flag(name: str, value: Any = None) -> str:
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def _target(info: EngineInfo) -> Any:
    module, _, attribute = info.target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _lacking(info: EngineInfo, error: Exception) -> str:
    return f"engine {info.name}: {error}; install it with: {info.install}"


def require_installed(info: EngineInfo) -> None:
    """Raises `EngineMissing` where a package is not there, without importing any."""
    for package in info.packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise EngineMissing(
                f"engine {info.name}: {package} is not installed; "
                f"install it with: {info.install or f'pip install {package}'}"
            ) from None


def check(info: EngineInfo) -> str | None:
    """None where the engine can be built (given a model, if it needs one), else the problem and
    its way out, in one sentence."""
    try:
        require_installed(info)
        if info.needs_model:
            _target(info)
        else:
            configure(info, {}).build()
    except ImportError as e:
        return _lacking(info, e)
    except SpeechkitError as e:
        return str(e)
    except Exception as e:  # a broken install can raise anything
        return f"engine {info.name} can't start ({e!r}); reinstall it with: {info.install}"
    return None
