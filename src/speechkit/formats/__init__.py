"""Text formats of results: one module each, found by the ``FORMAT`` in it.

Times that lie outside a recording are moved to its edge, and text keeps its words but not its line
breaks and control characters.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module

from speechkit.formats.cues import LAYOUT, Layout
from speechkit.formats.format import Format


def _formats() -> Iterator[Format]:
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        form = getattr(import_module(module.name), "FORMAT", None)
        if form:
            yield form


FORMATS = {form.name: form for form in _formats()}


def formats_of(stage: str, layout: Layout = LAYOUT) -> dict[str, Format]:
    """The formats of a stage's results, subtitles in this layout."""
    return {name: form.laid_out(layout) for name, form in FORMATS.items() if form.stage == stage}


def need_words(names: Iterable[str]) -> bool:
    """Whether one of these formats needs words with times, or is better for them."""
    return any(FORMATS[name].of_words for name in names if name in FORMATS)
