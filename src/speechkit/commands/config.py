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
    """Return the file's values for the command of ``context``.

    Raises `UsageError`, with the key, for an option that doesn't exist or a value of another type.
    """
    sections = _load(path)
    name = str(context.info_name)
    nested = sections.pop(name, None) or {}
    if not isinstance(nested, dict):
        raise UsageError(f"{path}: {name}: expected options by name, found {nested!r}")
    options = _options(context.command)
    values: dict[str, Any] = {}
    for key, value in sections.items():
        if option := options.get(_field(key)):
            values[option.name] = _value(value, option, f"{path}: {key}")
        elif not _is_known(key, context):
            raise UsageError(f"{path}: no command has an option {key!r}")
    for key, value in nested.items():
        option = options.get(_field(key))
        if option is None:
            raise UsageError(f"{path}: {name} has no option {key!r}")
        values[option.name] = _value(value, option, f"{path}: {name}: {key}")
    return values


def _load(path: Path) -> dict[str, Any]:
    """Return the contents of the file, with references resolved. Raises `UsageError`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        config = OmegaConf.create(yaml_files.resolved(yaml_files.load(_read(path).decode())))
        loaded = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OSError as e:
        if e.errno is None:  # raised by OmegaConf for a bare number
            raise UsageError(f"{path}: expected options by name, found one value") from e
        raise UsageError(f"{path}: can't be read: {e.strerror}") from e
    except (OmegaConfBaseException, YAMLError, ValueError) as e:
        raise UsageError(f"{path}: not a YAML configuration: {e}") from e
    if not isinstance(loaded, dict):
        raise UsageError(f"{path}: expected options by name, found a list")
    return {str(key): value for key, value in loaded.items()}


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        text = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise UsageError(f"{path}: not a configuration: longer than {_MOST_BYTES >> 20} MiB")
    return text


def _field(key: object) -> str:
    return str(key).replace("-", "_")


def _is_known(key: str, context: typer.Context) -> bool:
    """Whether a key is the section of a command, or an option of any command."""
    group = context.parent.command if context.parent else context.command
    commands: Mapping[str, Any] = getattr(group, "commands", {})
    return key in commands or any(_field(key) in _options(command) for command in commands.values())


def _options(command: Any) -> dict[str, Any]:
    """The options by their long names (``json``, not ``as_json`` as the parameter)."""
    return {
        name.removeprefix("--").replace("-", "_"): option
        for option in command.params
        for name in option.opts
        if name.startswith("--")
    }


def _value(value: Any, option: Any, where: str) -> Any:
    """Return the value in the option's form: a list for an option that can be repeated."""
    if isinstance(value, dict) or (isinstance(value, list) and not option.multiple):
        raise UsageError(f"{where}: expected one value, found {value!r}")
    for item in value if isinstance(value, list) else [value]:
        kind = option.type.name  # Typer would read true and 1.5 as 1
        if isinstance(item, bool) and not kind.startswith("bool"):
            raise UsageError(f"{where}: expected no switch, found {str(item).lower()}; quote text")
        if isinstance(item, float) and kind.startswith("int"):
            raise UsageError(f"{where}: expected a whole number, found {item}")
    return [value] if option.multiple and not isinstance(value, list) else value
