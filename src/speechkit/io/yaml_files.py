"""YAML that others may have written: what a few lines of it can grow to is known before it grows.

An alias repeats what an anchor names, and so does OmegaConf's ``${a.b}``; of eight lines that name
each other ten times over, a hundred million values are made.
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
    """What OmegaConf makes of the text, plain, its references as they stand. Raises `ValueError`
    for a text that is out of bounds, and what YAML and OmegaConf raise."""
    from omegaconf import OmegaConf

    _require_bounds(text)
    return OmegaConf.to_container(OmegaConf.load(StringIO(text)))


def _require_bounds(text: str) -> None:
    """Counts values as they will be, of the text's tokens alone."""
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
    """A copy with what each ``${a.b}`` names in its place; what asks a resolver stays as it is.

    Raises `ValueError` for names that nothing has, and for what grows out of bounds.
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
                return {key: self.of(one, depth + 1) for key, one in value.items()}
            case list():
                return [self.of(one, depth + 1) for one in value]
            case str() if "${" in value:
                return self._text(value, depth + 1)
        return value

    def _text(self, text: str, depth: int) -> Any:
        if whole := REFERENCE.fullmatch(text):
            return self.of(self._named(whole[1]), depth)
        made = REFERENCE.sub(lambda one: str(self.of(self._named(one[1]), depth)), text)
        self._take(len(made))
        return made

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError(f"its references make more than {MOST_VALUES} values of it")

    def _named(self, name: str) -> Any:
        found = self._root
        for part in name.split("."):
            key: Any = int(part) if isinstance(found, list) and part.isdecimal() else part
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError) as e:
                raise ValueError(f"${{{name}}} names nothing in it") from e
        return found
