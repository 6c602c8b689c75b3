"""What earlier runs have left in a folder of embeddings: shards, and the names of their vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from speechkit.io import atomic, safe_open, typed_json
from speechkit.io.embedding_shards import NAME, ShardRows, shard_path

WIDTHS = ".embeddings.json"  # the width of the vectors by name, also of shards that are to go
_MOST_BYTES = 1 << 16
_MOST_WIDTH = 1 << 20


class FormerShards:
    """The shards in ``folder`` with values of ``dtype``. Those of one number are open at a time.

    ``widths``: by name, as the earlier runs have written them; none where none has.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder = folder
        self._dtype = dtype
        self._number = -1
        self._shards: dict[str, ShardRows | None] = {}
        self.widths = _widths(folder)

    def shard(self, name: str, number: int, width: int) -> ShardRows | None:
        """None where there is none of this width and type. It stays the former one while another
        takes its place."""
        if number != self._number:
            self.close()
            self._number = number
        if name not in self._shards:
            self._shards[name] = self._opened(shard_path(self._folder, name, number), width)
        return self._shards[name]

    def close(self) -> None:
        for shard in filter(None, self._shards.values()):
            shard.close()
        self._shards = {}

    def _opened(self, path: Path, width: int) -> ShardRows | None:
        try:
            shard = ShardRows(path)
        except (OSError, ValueError):
            return None
        if (shard.width, shard.dtype) == (width, self._dtype):
            return shard
        shard.close()
        return None


def write_widths(folder: Path, widths: Mapping[str, int]) -> None:
    """Only for the run that holds the lock of the folder's index."""
    atomic.sweep(folder / WIDTHS)
    if widths != _widths(folder):
        atomic.write_text(folder / WIDTHS, json.dumps(widths) + "\n")


def _widths(folder: Path) -> dict[str, int]:
    try:
        widths = typed_json.parse(safe_open.read_bounded(folder / WIDTHS, _MOST_BYTES))
    except (OSError, ValueError):
        return {}
    known = isinstance(widths, dict) and all(
        NAME.fullmatch(name) and type(width) is int and 0 <= width <= _MOST_WIDTH
        for name, width in widths.items()
    )
    return widths if known else {}
