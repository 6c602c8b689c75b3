"""The vectors of a folder in blocks of unit length, so that products of blocks are cosines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.io.embedding_shards import Embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 4096  # of a block; the product of two takes 64 MB


@dataclass(frozen=True, slots=True)
class Block:
    """Rows from ``first`` on, mapped from a file until they are asked for."""

    first: int
    mapped: NDArray[Any]

    def unit(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The vectors [rows, width], each of length 1, and whether a row has one [rows].

        A row of NaN, that of a failed utterance, and one of zeros have none, and are zeros here.
        """
        vectors = self.mapped.astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        is_there = np.isfinite(lengths) & (lengths > 0)
        unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=is_there)
        return unit, is_there[:, 0]


def blocks(embeddings: Embeddings, name: str) -> list[Block]:
    """All vectors of a name, in the order of the index. Raise `UsageError`."""
    found: list[Block] = []
    at = 0
    for shard in embeddings.blocks(name):
        found += [Block(at + row, shard[row : row + ROWS]) for row in range(0, len(shard), ROWS)]
        at += len(shard)
    return found
