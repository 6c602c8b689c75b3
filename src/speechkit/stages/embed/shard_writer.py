"""The shards of a folder, written when all utterances have a result.

The place of an utterance follows from its position in the input, so that a run that was killed and
started again writes the same bytes. Rows of an earlier run stay as they are: a shard to which rows
are added, or in which a failure has become a vector, is written anew under a temporary name, with
its former rows, and renamed. A shard without a change is not touched.

At every instant, the index in the folder names right rows only. A row that it names as failed may
hold a vector already, until the new index takes its place. Before any other row that it may name
gets other values or goes (after ``--restart``), the index is removed; until the new one is there,
the journal of the run holds all results.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from speechkit.errors import OutputConflict
from speechkit.io import atomic
from speechkit.io.embedding_shards import BYTES, EMBEDDINGS, INDEX, header, shard_path
from speechkit.io.file_names import shown
from speechkit.stages.embed.former_shards import FormerShards, write_widths

COPIED = 256  # rows at once


class Row(Enum):
    """A row that no new vector fills."""

    KEPT = 1  # as an earlier run has written it
    FAILED = 2  # NaN


class ShardWriter:
    """Takes the rows of all utterances, in order: the bytes of their vectors by name, or a `Row`.

    ``rows``: in each shard but the last. Raise `OutputConflict` where rows do not belong together,
    and `OutputFailed`. A block that ends in an error leaves no unfinished shard.
    """

    def __init__(self, folder: Path, dtype: str, rows: int) -> None:
        self._folder = folder
        self._dtype = dtype
        self._rows = rows
        self._former = FormerShards(folder, dtype)
        self._widths: dict[str, int] = {}  # unknown until there is a vector
        self._count = 0
        self._files: dict[str, IO[bytes]] = {}  # of the current shard; none while it has no change
        self._open = ExitStack()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._former.close()
        self._open.__exit__(kind, error, trace)

    def add(self, row: Mapping[str, bytes] | Row) -> None:
        if not self._widths and row is not Row.FAILED:
            self._begin(self._former.widths if isinstance(row, Row) else self._widths_of(row))
        if self._widths:
            self._place(self._count, row)
        self._count += 1

    def finish(self) -> None:
        """Complete the last shard, and remove those of earlier runs that are not needed."""
        if not self._widths:
            self._begin(self._former.widths or {EMBEDDINGS: 0})
        shards = -(-self._count // self._rows)
        if shards:
            self._end_shard(shards - 1, self._count - (shards - 1) * self._rows)
        for name in {**self._former.widths, **self._widths}:
            for path in self._folder.glob(f"{name}-*.npy"):
                number = re.fullmatch(re.escape(name) + r"-(\d{5,})\.npy", path.name)
                if number and (name not in self._widths or int(number[1]) >= shards):
                    self._remove_index()
                    with atomic.output_errors(path):
                        atomic.sweep(path)
                        path.unlink()
        write_widths(self._folder, self._widths)

    def _begin(self, widths: Mapping[str, int]) -> None:
        """Learn the widths, and place the failed utterances before the first vector."""
        self._widths = dict(widths)
        write_widths(self._folder, {**self._former.widths, **widths})
        for index in range(self._count):
            self._place(index, Row.FAILED)

    def _place(self, index: int, row: Mapping[str, bytes] | Row) -> None:
        number, at = divmod(index, self._rows)
        if index and not at:
            self._end_shard(number - 1, self._rows)
        former = {name: self._former_row(name, number, at) for name in self._widths}
        values = self._values(row, former, number)
        if not self._files and values == former:
            return
        if not self._files:
            self._rewrite(number, at)
        for name, value in values.items():
            if former[name] not in (None, value, self._nan(name)):
                self._remove_index()
            self._files[name].write(value)

    def _values(
        self, row: Mapping[str, bytes] | Row, former: Mapping[str, bytes | None], number: int
    ) -> Mapping[str, bytes]:
        if row is Row.FAILED:
            return {name: self._nan(name) for name in self._widths}
        if not isinstance(row, Row):
            if self._widths_of(row) == self._widths:
                return row
        elif None not in former.values():
            return {name: value for name, value in former.items() if value is not None}
        path = shard_path(self._folder, EMBEDDINGS, number)
        raise OutputConflict(
            f"{shown(path)}: its vectors are not those that the index or the model has now; "
            "compute all anew with --restart"
        )

    def _former_row(self, name: str, number: int, at: int) -> bytes | None:
        shard = self._former.shard(name, number, self._widths[name])
        return shard.read(at) if shard and at < shard.rows else None

    def _rewrite(self, number: int, rows: int) -> None:
        """Begin to write a shard, with so many of its former ``rows``."""
        for name, width in self._widths.items():
            path = shard_path(self._folder, name, number)
            former = self._former.shard(name, number, width)
            if not former and os.path.lexists(path):
                self._remove_index()
            atomic.sweep(path)
            file = self._files[name] = self._open.enter_context(atomic.publish(path))
            file.write(header(0, width, self._dtype))
            for first in range(0, rows, COPIED):
                assert former
                file.write(former.read(first, min(COPIED, rows - first)))

    def _end_shard(self, number: int, rows: int) -> None:
        shards = [self._former.shard(name, number, self._widths[name]) for name in self._widths]
        if any(shard and shard.rows > rows for shard in shards):
            self._remove_index()
            if not self._files:
                self._rewrite(number, rows)
        for name, file in self._files.items():
            file.seek(0)
            file.write(header(rows, self._widths[name], self._dtype))
        self._files = {}
        self._open.close()

    def _remove_index(self) -> None:
        index = self._folder / INDEX
        with atomic.output_errors(index):
            if os.path.lexists(index):
                index.unlink()
                atomic.sync_folder(self._folder)

    def _widths_of(self, row: Mapping[str, bytes]) -> dict[str, int]:
        return {name: len(value) // BYTES[self._dtype] for name, value in row.items()}

    def _nan(self, name: str) -> bytes:
        return np.full(self._widths[name], np.nan, f"<f{BYTES[self._dtype]}").tobytes()
