"""Near duplicates among the vectors of a folder, in flat memory.

The first utterance of each kind is kept. Every other one is the duplicate of a kept one before it:
of the most similar, by a cosine of the threshold at least. Thus no chain of likenesses joins what
is not alike, and more input changes nothing that was found before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.embeddings.search import Neighbour
from speechkit.embeddings.unit_blocks import blocks
from speechkit.io.embedding_shards import Embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Duplicates:
    """``groups``: the duplicates of each kept row that has any, in order. ``left_out``: rows
    without a vector, which are neither."""

    groups: dict[int, list[Neighbour]]
    left_out: Sequence[int]

    def dropped(self) -> set[int]:
        """All rows but those to keep."""
        found = (one.row for group in self.groups.values() for one in group)
        return {*found, *self.left_out}


def near_duplicates(embeddings: Embeddings, name: str, threshold: float) -> Duplicates:
    """The near duplicates among the vectors called ``name``. Raise `UsageError`."""
    every = blocks(embeddings, name)
    kept: list[NDArray[np.bool_]] = []  # of each block
    groups: dict[int, list[Neighbour]] = {}
    left_out: list[int] = []
    for number, block in enumerate(every):
        unit, is_there = block.unit()
        left_out += (np.flatnonzero(~is_there) + block.first).tolist()
        best = np.full(len(unit), -np.inf, np.float32)
        whose = np.zeros(len(unit), np.int64)
        for before, is_kept in zip(every[:number], kept, strict=True):
            rows = np.flatnonzero(is_kept)
            if len(rows):
                similar = unit @ before.unit()[0][rows].T
                _improve(best, whose, similar, rows + before.first)
        kept.append(_kept(unit, is_there, best, whose, block.first, threshold))
        for row in np.flatnonzero(is_there & ~kept[-1]):
            found = Neighbour(block.first + int(row), float(best[row]))
            groups.setdefault(int(whose[row]), []).append(found)
    return Duplicates(dict(sorted(groups.items())), left_out)


def _improve(
    best: NDArray[np.float32],
    whose: NDArray[np.int64],
    similar: NDArray[np.float32],
    rows: NDArray[np.int64],
) -> None:
    """Note the most similar of ``rows`` where it is more so than the ``best`` before."""
    places = similar.argmax(1)
    found = similar[np.arange(len(best)), places]
    is_better = found > best
    best[is_better], whose[is_better] = found[is_better], rows[places][is_better]


def _kept(
    unit: NDArray[np.float32],
    is_there: NDArray[np.bool_],
    best: NDArray[np.float32],
    whose: NDArray[np.int64],
    first: int,
    threshold: float,
) -> NDArray[np.bool_]:
    """Which rows of a block are kept, one after another; each is a candidate for those after."""
    kept = np.zeros(len(unit), bool)
    similar = unit @ unit.T
    for row in np.flatnonzero(is_there):
        candidates = np.flatnonzero(kept[:row])
        if len(candidates):
            nearest = candidates[similar[row, candidates].argmax()]
            if similar[row, nearest] > best[row]:
                best[row], whose[row] = similar[row, nearest], first + nearest
        kept[row] = best[row] < threshold
    return kept
