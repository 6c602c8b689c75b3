"""The files of embeddings: shards of vectors, and the index that joins them to the manifest.

A folder holds ``index.jsonl``, a line for each utterance, and for each name of vectors
(``embeddings``, and that of each adapter) the shards ``NAME-00000.npy``, ``NAME-00001.npy`` …, each
an array [rows, width] of float32 or float16. The utterance on line i of the index, from 0, has row
``i % ROWS`` of shard ``i // ROWS``, so that the shards one after another are all vectors in the
order of the input. The row of a failed utterance is NaN.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechkit.errors import UsageError
from speechkit.io import manifest
from speechkit.io.file_names import shown
from speechkit.records import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating[Any]]

EMBEDDINGS = "embeddings"  # the name of the vectors that went through no adapter
INDEX = "index.jsonl"
ROWS = 1 << 16  # of a shard, except for the last one
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # of vectors: part of a file name
_FIRST = "-00000.npy"


def shard_path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05}.npy"


@dataclass(frozen=True)
class Embeddings:
    """The vectors of a folder, joined to the manifest: row i of every array is that of
    ``records[i]``.

    ``records``: the lines of the index. ``names``: of the vectors, `EMBEDDINGS` first, then the
    adapters.
    """

    folder: Path
    records: list[Record] = field(repr=False)
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def array(self) -> Vectors:
        """The vectors that went through no adapter, as `vectors`."""
        return self.vectors()

    @property
    def failed(self) -> list[int]:
        """The rows of the utterances that failed, which are NaN."""
        return [row for row, record in enumerate(self.records) if record.get("error") is not None]

    def vectors(self, name: str = EMBEDDINGS) -> Vectors:
        """All vectors of a name, [utterances, width]: mapped from the file where they are in one
        shard, copied into memory otherwise. Raise `UsageError`."""
        import numpy as np

        blocks = self.blocks(name)
        first = next(blocks, None)
        if first is None or len(first) == len(self):
            return np.empty((0, 0), np.float32) if first is None else first
        whole = np.empty((len(self), first.shape[1]), first.dtype)
        whole[: len(first)] = first
        at = len(first)
        for block in blocks:
            if block.shape[1:] != first.shape[1:] or block.dtype != first.dtype:
                raise UsageError(f"{shown(self.folder)}: the shards of {name} do not fit together")
            whole[at : at + len(block)] = block
            at += len(block)
        return whole

    def blocks(self, name: str = EMBEDDINGS) -> Iterator[Vectors]:
        """The vectors of each shard in order, [rows, width], mapped from its file. Raise
        `UsageError`."""
        if name not in self.names and self.records:
            raise UsageError(
                f"{shown(self.folder)}: has no vectors named {name}; there are: "
                + ", ".join(self.names)
            )
        left = len(self)
        for number in count():
            if not left:
                return
            block = _mapped(shard_path(self.folder, name, number))
            if len(block) < min(left, ROWS):
                raise UsageError(
                    f"{shown(shard_path(self.folder, name, number))}: has {len(block)} vectors, "
                    f"and the index names {min(left, ROWS)}; run the same speechkit embed with "
                    "--restart"
                )
            yield block[: min(left, ROWS)]
            left -= min(left, ROWS)


def load_embeddings(folder: str | os.PathLike[str]) -> Embeddings:
    """The vectors that `speechkit embed` wrote to ``folder``. Raise `UsageError`."""
    path = Path(folder)
    if not (path / INDEX).is_file():
        raise UsageError(
            f"{shown(path)}: holds no {INDEX}, so it is not the folder of a finished speechkit embed"
        )
    found = sorted(one.name.removesuffix(_FIRST) for one in path.glob(f"*{_FIRST}"))
    names = tuple(sorted(filter(NAME.fullmatch, found), key=lambda name: name != EMBEDDINGS))
    return Embeddings(path, list(manifest.read_records(str(path / INDEX))), names)


def _mapped(path: Path) -> Vectors:
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or e
        raise UsageError(
            f"{shown(path)}: can't be read: {reason}; run the same speechkit embed with --restart"
        ) from e
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        raise UsageError(f"{shown(path)}: holds no vectors")
    return array
