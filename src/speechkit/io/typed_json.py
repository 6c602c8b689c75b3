"""JSON that may have been changed by others, to values of known types."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from functools import cache
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
    """A dataclass from an object of JSON, and so are those in it.

    Raise ValueError where a field is missing, unknown, of another type, negative or immensely
    large.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(f"expected an object, found {_shown(fields)}")
    hints = _hints(kind)  # type: ignore[arg-type]
    for name, value in fields.items():
        if not _fits(value, hints.get(name)):
            raise ValueError(f"{name} can't be {_shown(value)}")
    arguments = {name: _built(value, hints[name]) for name, value in fields.items()}
    try:
        return kind(**arguments)
    except TypeError as e:
        raise ValueError(str(e).partition("() ")[2] or str(e)) from e


_hints = cache(get_type_hints)  # which compiles them anew


def _built(value: Any, hint: Any) -> Any:
    """A value of JSON that fits, with its lists as tuples, its objects as the dataclasses of the
    hint, and the keys of a mapping as the numbers that they were."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _built(value, next(kind for kind in arguments if _fits(value, kind)))
    if origin is tuple:
        return tuple(_built(each, arguments[0]) for each in value)
    if origin in (dict, Mapping):
        key, kind = arguments
        return {int(k) if key is int else k: _built(each, kind) for k, each in value.items()}
    if is_dataclass(hint) and isinstance(value, Mapping):
        return to_dataclass(hint, value)  # type: ignore[arg-type]
    return value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON has the type of a field; None stands for no such field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, list | tuple) and _all_fit(value, arguments[0])
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and _all_fit(value.values(), arguments[1])
    if hint in (float, int):
        return type(value) in (int, hint) and 0 <= value < _MAX_NUMBER
    return hint is Any or type(value) is hint or (is_dataclass(hint) and type(value) is dict)


def _all_fit(values: Iterable[Any], hint: Any) -> bool:
    return all(_fits(value, hint) for value in values)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
