"""The files of embeddings: shards of vectors, and the index that joins them to the manifest.

A folder holds ``index.jsonl``, a line for each utterance, and for each name of vectors
(``embeddings``, and that of each adapter) the shards ``NAME-00000.npy``, ``NAME-00001.npy`` …, each
an array [rows, width] of float32 or float16 in numpy's format 1.0. The vectors of all utterances
have the same order in the shards, one after another, as in the index and in the input. The row of
a failed utterance is NaN.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechkit.errors import UsageError
from speechkit.io import manifest, safe_open
from speechkit.io.file_names import shown
from speechkit.records import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating[Any]]

EMBEDDINGS = "embeddings"  # the name of the vectors that went through no adapter
INDEX = "index.jsonl"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # of vectors: part of a file name
SHARD_ROWS = 1 << 16  # unless another number is asked for
BYTES = {"float32": 4, "float16": 2}  # of a value, by type
_FIRST = "-00000.npy"
_HEADER_BYTES = 128
_MAGIC = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
_HEADER = re.compile(
    re.escape(_MAGIC)
    + rb"\{'descr': '<f([24])', 'fortran_order': False, 'shape': \((\d{1,12}), (\d{1,7})\), \} *\n"
)


def shard_path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05}.npy"


def header(rows: int, width: int, dtype: str) -> bytes:
    """The beginning of a shard, of the same length for any number of rows."""
    shape = f"'shape': ({rows}, {width}), }}"
    text = f"{{'descr': '<f{BYTES[dtype]}', 'fortran_order': False, {shape}"
    return _MAGIC + text.encode().ljust(_HEADER_BYTES - len(_MAGIC) - 1) + b"\n"


class ShardRows:
    """The rows of a shard as bytes, read from its file, not mapped: mapped pages count as memory.

    Raise OSError, and ValueError for a file that no `header` begins or that is too short for it.
    """

    def __init__(self, path: Path) -> None:
        self._file = safe_open.open_regular(path)
        try:
            match = _HEADER.fullmatch(self._file.read(_HEADER_BYTES))
            if not match:
                raise ValueError("not a shard of embeddings")
            self.dtype = "float32" if match[1] == b"4" else "float16"
            self.rows, self.width = int(match[2]), int(match[3])
            self._row_bytes = self.width * BYTES[self.dtype]
            size = os.fstat(self._file.fileno()).st_size
            if size != _HEADER_BYTES + self.rows * self._row_bytes:
                raise ValueError("the header states another size")
        except BaseException:
            self._file.close()
            raise

    def read(self, row: int, rows: int = 1) -> bytes:
        """Rows from the one of number ``row`` on; fewer at the end."""
        self._file.seek(_HEADER_BYTES + row * self._row_bytes)
        return self._file.read(rows * self._row_bytes)

    def close(self) -> None:
        self._file.close()


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
        first = next(self.blocks(name), None)
        is_one = first is not None and len(first) == len(self)
        return first if first is not None and is_one else self.lines(name, 0, len(self))

    def lines(self, name: str, start: int, stop: int) -> Vectors:
        """The vectors of some lines of the index, [stop - start, width], copied into memory. One
        shard is open at a time. Raise `UsageError`."""
        import numpy as np

        self._require(name)
        shards: dict[Any, list[tuple[int, Any]]] = {}
        for at, record in enumerate(self.records[start:stop]):
            shards.setdefault(str(record.get("shard")), []).append((at, record))
        whole = np.empty((0, 0), np.float32)
        for lines in shards.values():
            rows = [record.get("row") for _, record in lines]
            block = self._block(name, lines[0][1].get("shard"), rows)
            if not len(whole):
                whole = np.empty((stop - start, block.shape[1]), block.dtype)
            if block.shape[1] != whole.shape[1]:
                raise UsageError(f"{shown(self.folder)}: the shards of {name} differ in width")
            whole[[at for at, _ in lines]] = block
        return whole

    def blocks(self, name: str = EMBEDDINGS) -> Iterator[Vectors]:
        """The vectors of each shard in order, [rows, width], mapped from its file: for work on more
        than fits in memory. Raise `UsageError`."""
        self._require(name)
        for number, lines in groupby(self.records, lambda record: record.get("shard")):
            yield self._block(name, number, [line.get("row") for line in lines])

    def _require(self, name: str) -> None:
        if self.records and name not in self.names:
            there = ", ".join(self.names) or "none"
            raise UsageError(
                f"{shown(self.folder)}: has no vectors named {name}; there are: {there}"
            )

    def _block(self, name: str, number: Any, rows: list[Any]) -> Vectors:
        """These rows of a shard: mapped where they follow each other, else copied."""
        if not all(type(value) is int and value >= 0 for value in (number, *rows)):
            raise UsageError(f"{shown(self.folder / INDEX)}: has lines without shard and row")
        path = shard_path(self.folder, name, number)
        block = _mapped(path)
        if max(rows) >= len(block):
            raise UsageError(
                f"{shown(path)}: has {len(block)} rows, and the index names row {max(rows)}; run "
                "the same speechkit embed with --retry-failed"
            )
        start, end = rows[0], rows[-1] + 1
        return block[start:end] if rows == list(range(start, end)) else block[rows]


def load_embeddings(folder: str | os.PathLike[str]) -> Embeddings:
    """The vectors that `speechkit embed` wrote to ``folder``. Raise `UsageError`."""
    path = Path(folder)
    if not (path / INDEX).is_file():
        raise UsageError(
            f"{shown(path)}: holds no {INDEX}; name the --output-dir of a finished speechkit embed"
        )
    found = [one.name.removesuffix(_FIRST) for one in path.glob(f"*{_FIRST}")]
    names = sorted(filter(NAME.fullmatch, found), key=lambda name: (name != EMBEDDINGS, name))
    return Embeddings(path, list(manifest.read_records(str(path / INDEX))), tuple(names))


def _mapped(path: Path) -> Vectors:
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or e
        is_lost = isinstance(e, FileNotFoundError | ValueError)
        way_out = "; run the same speechkit embed with --retry-failed" if is_lost else ""
        raise UsageError(f"{shown(path)}: can't be read: {reason}{way_out}") from e
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        raise UsageError(f"{shown(path)}: holds no vectors")
    return array
