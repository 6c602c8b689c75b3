"""The result files of a merge: scanned once in order, then read by line in any order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io.json_lines import raw_lines
from speechkit.io.manifest import open_lines
from speechkit.io.temporary_folder import temporary_errors

_WINDOWS = 64 << 20  # bytes of all files together that are held in memory
_LONGEST, _SHORTEST = 1 << 20, 16 << 10  # bytes of one file


class ResultUnreadable(UsageError):
    """A result file that can't be read to its end."""


class ResultFiles:
    """Holds no file open between calls, except one in TMPDIR for compressed results (``.gz``).

    Each file has a window of its content in memory, so that any number of files whose lines are
    requested in order are read once, in large pieces.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        with temporary_errors():
            packed = any(map(_packed, paths))
            self._unpacked = tempfile.TemporaryFile() if packed else None  # noqa: SIM115
        self._stamps: list[tuple[int, int, int] | None] = [None] * len(paths)
        self._starts = [0] * len(paths)
        self._windows = [b""] * len(paths)
        self._stretch = min(_LONGEST, max(_SHORTEST, _WINDOWS // max(1, len(paths))))

    def scan(self, file: int) -> Iterator[tuple[int, int, bytes]]:
        """Number, offset and bytes without newline of each line that is not blank.

        Raise `ResultUnreadable`.
        """
        path = self.paths[file]
        spool = self._unpacked if _packed(path) else None
        offset = spool.seek(0, os.SEEK_END) if spool else 0
        try:
            self._stamps[file] = _stamp(path)
            with open_lines(path) as content:
                for number, raw in enumerate(raw_lines(content), 1):
                    if spool:
                        with temporary_errors():
                            spool.write(raw)
                    if raw.strip():
                        yield number, offset, raw.removesuffix(b"\n")
                    offset += len(raw)
            if spool:
                with temporary_errors():
                    spool.flush()
        except UsageError as e:
            raise ResultUnreadable(str(e)) from e

    def line(self, file: int, offset: int, length: int) -> bytes:
        """The bytes of a scanned line. Raise `UsageError` if the file has changed."""
        if length > self._stretch:
            return self._read(file, offset, length)
        start = offset - self._starts[file]
        if start < 0 or start + length > len(self._windows[file]):
            self._windows[file] = self._read(file, offset, self._stretch)
            self._starts[file], start = offset, 0
        return self._windows[file][start : start + length]

    def _read(self, file: int, offset: int, length: int) -> bytes:
        path = self.paths[file]
        if _packed(path):
            assert self._unpacked is not None
            self._unpacked.seek(offset)
            data = self._unpacked.read(length)
            self._unpacked.seek(0, os.SEEK_END)  # where a scan goes on
            return data
        if _stamp(path) != self._stamps[file]:
            raise UsageError(f"{path}: changed while it was being merged; run again")
        with open_lines(path) as content:
            content.seek(offset)
            return content.read(length)


def _packed(path: str) -> bool:
    return path.endswith(".gz")


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        status = Path(path).stat()
    except OSError as e:
        raise UsageError(f"{path}: can't be read: {e.strerror}") from e
    return status.st_ino, status.st_size, status.st_mtime_ns
