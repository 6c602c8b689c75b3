"""JSON that may have been changed by others, to values of known types."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

_MAX_NUMBER = 1 << 53  # beyond it a count or a time is a mistake
_MAX_SHOWN = 60  # characters of a value in a message

T = TypeVar("T")


def parse(text: bytes | str) -> Any:
    """The value of JSON, which may hold file names that are not UTF-8. Raise ValueError."""
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
        )
    except RecursionError as e:
        raise ValueError("nested too deeply") from e


def to_dataclass(kind: type[T], fields: Any) -> T:
    """A dataclass from an object of JSON.

    Raise ValueError where a field is missing, unknown, of another type, negative or immensely
    large.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(f"expected an object, found {_shown(fields)}")
    hints = get_type_hints(kind)
    for name, value in fields.items():
        if not _fits(value, hints.get(name)):
            raise ValueError(f"{name} can't be {_shown(value)}")
    arguments = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    try:
        return kind(**arguments)
    except TypeError as e:
        raise ValueError(str(e).partition("() ")[2] or str(e)) from e


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON has the type of a field; None stands for no such field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, list | tuple) and _all_fit(value, arguments[0])
    if origin is dict:
        return isinstance(value, dict) and _all_fit(value.values(), arguments[1])
    if hint in (float, int):
        return type(value) in (int, hint) and 0 <= value < _MAX_NUMBER
    return hint is Any or (hint is not None and type(value) is hint)


def _all_fit(values: Iterable[Any], hint: Any) -> bool:
    return all(_fits(value, hint) for value in values)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
