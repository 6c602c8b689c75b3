"""The vectors of a folder in blocks of unit length, so that products of blocks are cosines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.io.embedding_shards import Embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 4096  # of a block; the product of two takes 64 MB


@dataclass(frozen=True, slots=True)
class Block:
    """The vectors of ``embeddings`` called ``name`` of the lines from ``first`` on, up to ``stop``;
    read when they are asked for."""

    embeddings: Embeddings
    name: str
    first: int
    stop: int

    def unit(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The vectors [rows, width], each of length 1, and whether a row has one [rows].

        A row of NaN, that of a failed utterance, and one of zeros have none, and are zeros here.
        Raise `UsageError`.
        """
        vectors = self.embeddings.lines(self.name, self.first, self.stop).astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        is_there = np.isfinite(lengths) & (lengths > 0)
        unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=is_there)
        return unit, is_there[:, 0]


def blocks(embeddings: Embeddings, name: str) -> list[Block]:
    """All vectors of a name, in the order of the index."""
    count = len(embeddings)
    starts = range(0, count, ROWS)
    return [Block(embeddings, name, start, min(start + ROWS, count)) for start in starts]
