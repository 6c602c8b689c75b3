"""Untrusted YAML: its size after expansion is checked before it is expanded.

An alias repeats the value of an anchor, as does OmegaConf's ``${a.b}``; eight lines that reference
each other ten times each expand to a hundred million values.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import yaml

MOST_VALUES = 300_000  # in all, repeated ones included; the largest vocabularies take 100,000
MOST_DEPTH = 60
REFERENCE = re.compile(r"(?<!\\)\$\{([^${}:]*)\}")  # ${a.b}; not ${resolver:a}


def load(text: str) -> Any:
    """The text as OmegaConf reads it, in plain containers, with references unresolved.

    Raise `ValueError` for a text out of bounds, and the errors of YAML and OmegaConf.
    """
    from omegaconf import OmegaConf

    _require_bounds(text)
    return OmegaConf.to_container(OmegaConf.load(StringIO(text)))


def _require_bounds(text: str) -> None:
    """Count the expanded values from the text's tokens alone."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    sizes: dict[str | None, int] = {}  # values that each anchor stands for
    around: list[tuple[str | None, int]] = []  # anchor and values so far, outermost first
    for event in yaml.parse(text, Loader=loader):
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                around.append((event.anchor, 1))
                sizes.pop(event.anchor, None)  # within itself it has no end
                if len(around) > MOST_DEPTH:
                    raise ValueError(f"nested more than {MOST_DEPTH} deep")
                continue
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                anchor, size = around.pop()
            case yaml.AliasEvent():
                anchor, size = None, sizes.get(event.anchor, MOST_VALUES + 1)
            case yaml.ScalarEvent():
                anchor, size = event.anchor, 1
            case _:
                continue
        if anchor is not None:
            sizes[anchor] = size
        if around:
            around[-1] = (around[-1][0], around[-1][1] + size)
            size = around[-1][1]
        if size > MOST_VALUES:
            raise ValueError(f"its aliases make more than {MOST_VALUES} values of it")


def resolved(config: Any) -> Any:
    """A copy with each ``${a.b}`` replaced by its value; calls of resolvers stay as they are.

    Raise `ValueError` for references to nothing, and for values that grow out of bounds.
    """
    return _Resolution(config).of(config, 0)


class _Resolution:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = MOST_VALUES

    def of(self, value: Any, depth: int) -> Any:
        self._take(1)
        if depth > MOST_DEPTH:
            raise ValueError(f"nested more than {MOST_DEPTH} deep, or its references go in circles")
        match value:
            case dict():
                return {key: self.of(item, depth + 1) for key, item in value.items()}
            case list():
                return [self.of(item, depth + 1) for item in value]
            case str() if "${" in value:
                return self._text(value, depth + 1)
        return value

    def _text(self, text: str, depth: int) -> Any:
        if whole := REFERENCE.fullmatch(text):
            return self.of(self._named(whole[1]), depth)
        resolved = REFERENCE.sub(lambda match: str(self.of(self._named(match[1]), depth)), text)
        self._take(len(resolved))
        return resolved

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError(f"its references make more than {MOST_VALUES} values of it")

    def _named(self, name: str) -> Any:
        value = self._root
        for part in name.split("."):
            key: Any = int(part) if isinstance(value, list) and part.isdecimal() else part
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError) as e:
                raise ValueError(f"${{{name}}} names nothing in it") from e
        return value
