"""The output of embed: from the lines of the journal to shards and the lines of the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from speechkit.errors import OutputConflict
from speechkit.io.embedding_shards import BYTES, INDEX, shard_path
from speechkit.io.file_names import shown
from speechkit.records import Record
from speechkit.stages.embed.former_shards import FormerShards, write_widths
from speechkit.stages.embed.shard_writer import Row, ShardWriter
from speechkit.stages.embed.vectors import VECTORS, unpacked


def place(index: int, rows: int) -> Record:
    """Where the vectors of the utterance of this index are, for its line."""
    shard, row = divmod(index, rows)
    return {"shard": shard, "row": row}


class OutputFolder:
    """``rows``: in each shard but the last. ``dtype``: of the values of shards."""

    def __init__(self, folder: Path, dtype: str, rows: int) -> None:
        self._folder = folder
        self._dtype = dtype
        self._rows = rows
        self._former: FormerShards | None = None
        self.index = folder / INDEX

    def claim(self, names: Sequence[str], *, restart: bool) -> None:
        """Raise `OutputConflict` for shards of these ``names`` that no run has written; ``restart``
        replaces them."""
        widths = FormerShards(self._folder, self._dtype).widths
        for name in names:
            foreign = next(self._folder.glob(f"{name}-*.npy"), None)
            if foreign is None or name in widths:
                continue
            if not restart:
                raise OutputConflict(
                    f"{shown(foreign)}: no run of speechkit has written it; name another "
                    "--output-dir, or replace it with --restart"
                )
            widths = {**widths, name: 0}
            write_widths(self._folder, widths)

    def lacking(self, count: int) -> str:
        """The first lost or damaged shard of ``count`` utterances; "" for none."""
        former = FormerShards(self._folder, self._dtype)
        for number in range(-(-count // self._rows)):
            for name, width in former.widths.items():
                shard = former.shard(name, number, width)
                if not shard or shard.rows != min(self._rows, count - number * self._rows):
                    former.close()
                    return shown(shard_path(self._folder, name, number))
        former.close()
        return ""

    def holds(self, index: int, record: Record) -> bool:
        """Whether the vectors of a successful line are in it, or in the row that it names."""
        if VECTORS in record:
            try:
                return bool(unpacked(record[VECTORS], self._dtype))
            except ValueError:
                return False
        expected = place(index, self._rows)
        if any(record.get(key) != value for key, value in expected.items()):
            return False
        self._former = self._former or FormerShards(self._folder, self._dtype)
        widths = self._former.widths
        return bool(widths) and all(
            self._has_vector(name, width, **expected) for name, width in widths.items()
        )

    def _has_vector(self, name: str, width: int, shard: int, row: int) -> bool:
        assert self._former
        former = self._former.shard(name, shard, width)
        content = former.read(row) if former else b""
        values = np.frombuffer(content, f"<f{BYTES[self._dtype]}")
        return len(values) == width and bool(np.isfinite(values).all())

    def conclude(self, records: Iterable[Record]) -> Iterator[Record]:
        """Write the shards; yield the lines of the index."""
        if self._former:
            self._former.close()
            self._former = None
        with ShardWriter(self._folder, self._dtype, self._rows) as writer:
            for index, record in enumerate(records):
                texts = record.pop(VECTORS, None)
                if record.get("error") is not None:
                    writer.add(Row.FAILED)
                else:
                    writer.add(Row.KEPT if texts is None else unpacked(texts, self._dtype))
                yield {**record, **place(index, self._rows)}
            writer.finish()
