"""The nearest neighbours of queries among the vectors of a folder, by the cosine between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.embeddings.unit_blocks import blocks
from speechkit.errors import UsageError
from speechkit.io.embedding_shards import Embeddings
from speechkit.io.file_names import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """``name``: as it was given. ``row``: in the folder, which is then no neighbour of itself."""

    name: str
    vector: Array
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    row: int
    similarity: float  # the cosine, from -1 to 1


@dataclass(frozen=True, slots=True)
class Found:
    """The neighbours of each query, the nearest first. ``left_out``: rows without a vector."""

    neighbours: Sequence[Sequence[Neighbour]]
    left_out: int


def nearest(embeddings: Embeddings, name: str, queries: Sequence[Query], count: int) -> Found:
    """The ``count`` nearest rows of each query among the vectors called ``name``, in flat memory.

    Equal similarities are in the order of the rows. Raise `UsageError` for queries of another
    width.
    """
    wanted = np.stack([query.vector for query in queries]).astype(np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True).clip(1e-12)
    best = np.zeros((len(queries), 0), np.float32)
    rows = np.zeros((len(queries), 0), np.int64)
    left_out = 0
    for block in blocks(embeddings, name):
        unit, is_there = block.unit()
        if unit.shape[1] != wanted.shape[1]:
            raise UsageError(
                f"the query has {wanted.shape[1]} values, the vectors of "
                f"{shown(embeddings.folder)} have {unit.shape[1]}"
            )
        left_out += int((~is_there).sum())
        similar = wanted @ unit.T
        similar[:, ~is_there] = -np.inf
        for number, query in enumerate(queries):
            if query.row is not None and block.first <= query.row < block.first + len(unit):
                similar[number, query.row - block.first] = -np.inf
        numbers = np.broadcast_to(np.arange(len(unit)) + block.first, similar.shape)
        best, rows = np.hstack((best, similar)), np.hstack((rows, numbers))
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(best, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    found = [
        [Neighbour(int(row), float(near)) for row, near in zip(*pair, strict=True) if near > -2]
        for pair in zip(rows, best, strict=True)
    ]
    return Found(found, left_out)
