"""The best places to break the text of subtitles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import inf

from speechkit.formats.unbreakable_pieces import Piece, is_unspaced

_CLOSED = "[\"'»”’)\\]」』）]*$"
_SENTENCE = re.compile(r"[.!?…。．！？؟।॥።]" + _CLOSED)
_CLAUSE = re.compile(r"[,;:،؛、，；：—–]" + _CLOSED)
_ABBREVIATION = re.compile(r"(?:^|\W)(?:Mr|Mrs|Ms|Dr|St|Prof|[A-Z]|\d\d?)\.$")
_SHORT = 3  # columns: articles, prepositions and conjunctions of many languages
_PAUSE = 300  # milliseconds, heard as the end of a clause


def penalty(left: Piece, right: Piece) -> float:
    """The penalty of a break: from 0, where it reads well, to 1.4, where it separates a unit.

    A short word counts as belonging to the next word.
    """
    if ends_sentence(left.text, right.text):
        return 0.0
    phrase = right.spaced and is_unspaced(left.text[-1])  # no other spaces in such scripts
    paused = left.ends_segment or right.start - left.end >= _PAUSE
    if phrase or paused or _CLAUSE.search(left.text):
        return 0.3
    if not right.spaced:
        return 1.0 if left.ends_word else 1.4
    if left.columns <= _SHORT:
        return 1.4
    return 0.7 if right.columns <= _SHORT else 1.0


def ends_sentence(left: str, right: str) -> bool:
    """Whether a sentence ends between the words ``left`` and ``right``."""
    ends = _SENTENCE.search(left) and not _ABBREVIATION.search(left)
    return bool(ends) and not right[0].islower()


def cheapest(count: int, costs: Callable[[int], Iterator[float]]) -> list[slice]:
    """The cheapest division of ``count`` items into runs.

    ``costs(first)`` yields the costs of the runs from ``first`` on of one item, two items, and so
    on, while they are allowed; a run of a single item always is.
    """
    total = [0.0, *[inf] * count]
    origin = [0] * (count + 1)
    for first in range(count):
        for end, cost in enumerate(costs(first), start=first + 1):
            if total[first] + cost < total[end]:
                total[end], origin[end] = total[first] + cost, first
    runs: list[slice] = []
    end = count
    while end:
        runs.append(slice(origin[end], end))
        end = origin[end]
    return runs[::-1]
