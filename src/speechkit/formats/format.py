"""The description of a text format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from speechkit.formats.cues import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A text format of the results of a ``stage``.

    ``extension`` is that of its files, with the dot. ``render`` returns the text of a file, for
    UTF-8: of one recording the ordinary file of the format, of several one file for all.
    ``of_words``: it needs words with times, or is better for them. ``has_layout``: ``render`` also
    takes the ``layout`` of subtitles.
    """

    name: str
    extension: str
    stage: str
    render: Callable[..., str]
    of_words: bool = False
    has_layout: bool = False

    def laid_out(self, layout: Layout) -> Format:
        """The same format in this layout, if it has one."""
        return (
            replace(self, render=partial(self.render, layout=layout)) if self.has_layout else self
        )
