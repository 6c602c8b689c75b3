"""Options from a YAML file: ``workers: 4`` for every command, ``vad: {threshold: 0.6}`` for one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from speechkit.errors import UsageError
from speechkit.io import yaml_files

_MOST_BYTES = 1 << 20  # of a configuration


def defaults(path: Path, context: typer.Context) -> dict[str, Any]:
    """The file's values for the command of ``context``. Raises `UsageError` naming the key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise UsageError(f"{path}: not a configuration: longer than {_MOST_BYTES >> 20} MiB")
        config = OmegaConf.create(yaml_files.resolved(yaml_files.load(text.decode())))
        loaded = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OSError as e:
        if e.errno is None:  # how OmegaConf refuses a bare number
            raise UsageError(f"{path}: expected options by name, found one value") from e
        raise UsageError(f"{path}: can't be read: {e.strerror}") from e
    except (OmegaConfBaseException, YAMLError, ValueError) as e:
        raise UsageError(f"{path}: not a YAML configuration: {e}") from e
    if not isinstance(loaded, dict):
        raise UsageError(f"{path}: expected options by name, found a list")
    group = context.parent.command if context.parent else context.command
    commands: Mapping[str, Any] = getattr(group, "commands", {})
    own = _options(context.command)
    known = {name for command in commands.values() for name in _options(command)}
    values: dict[str, Any] = {}
    section = {str(key): value for key, value in loaded.items()}
    nested = section.pop(str(context.info_name), None) or {}
    if not isinstance(nested, dict):
        raise UsageError(f"{path}: {context.info_name}: expected options by name, found {nested!r}")
    for key, value in section.items():
        name = key.replace("-", "_")
        if key not in commands and name not in known:
            raise UsageError(f"{path}: no command has an option {key!r}")
        if name in own:
            values[own[name].name] = _value(value, own[name], f"{path}: {key}")
    for key, value in nested.items():
        name = str(key).replace("-", "_")
        if name not in own:
            raise UsageError(f"{path}: {context.info_name} has no option {key!r}")
        values[own[name].name] = _value(value, own[name], f"{path}: {context.info_name}: {key}")
    return values


def _options(command: Any) -> dict[str, Any]:
    """By the long names on the command line (``json``, not the parameter's ``as_json``)."""
    return {
        name.removeprefix("--").replace("-", "_"): option
        for option in command.params
        for name in option.opts
        if name.startswith("--")
    }


def _value(value: Any, option: Any, where: str) -> Any:
    """The value as the option takes it: an option that can be repeated takes a list too."""
    if isinstance(value, dict) or (isinstance(value, list) and not option.multiple):
        raise UsageError(f"{where}: expected one value, found {value!r}")
    for one in value if isinstance(value, list) else [value]:
        kind = option.type.name  # Typer would take true for 1 and 1.5 for 1
        if isinstance(one, bool) and not kind.startswith("bool"):
            raise UsageError(f"{where}: expected no switch, found {str(one).lower()}; quote text")
        if isinstance(one, float) and kind.startswith("int"):
            raise UsageError(f"{where}: expected a whole number, found {one}")
    return [value] if option.multiple and not isinstance(value, list) else value
