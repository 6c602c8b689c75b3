"""The results of a job as they come: from its journal while it runs, from its output afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from speechkit.io import safe_open, typed_json
from speechkit.io.json_lines import raw_lines
from speechkit.io.part_file import checked_fields
from speechkit.records import Division, Record
from speechkit.runtime import divisions
from speechkit.serving.web.jobs.store import JobFolder

_NAME = re.compile(rb"(\d{1,9})(?:(/)(\d{1,7})?)?")  # of a line: an index, a division, a part


@dataclass(frozen=True, slots=True)
class Answered:
    """A file has its record, of a transcript or of an error. ``index`` from 0, as everywhere."""

    index: int
    record: Record


@dataclass(frozen=True, slots=True)
class Divided:
    """A long file is transcribed in parts."""

    index: int
    division: Division


@dataclass(frozen=True, slots=True)
class PartAnswered:
    """A part of a file has its result, with the keys of `part_results.part_result`."""

    index: int
    number: int
    result: Record


Result = Answered | Divided | PartAnswered


class ResultReader:
    """Reads the results of a job from the beginning on, each once it is there.

    Some come twice, because the output repeats the journal.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._journal: IO[bytes] | None = None
        self._place = (0, 0)  # of a journal that was closed: its inode, and where to go on
        self._output: tuple[int, int] | None = None  # the one that has been read

    def new(self) -> Iterator[Result]:
        """What has come since the last call.

        A retry keeps the output of the run before: its journal is the newer one.
        """
        yield from self._new_output()
        yield from self._new_lines()

    def close(self) -> None:
        """Hold no file open; `new` goes on where it was."""
        if self._journal:
            self._place = os.fstat(self._journal.fileno()).st_ino, self._journal.tell()
            self._journal.close()
            self._journal = None

    def _new_output(self) -> Iterator[Answered]:
        path = self._folder.output
        with suppress(FileNotFoundError):
            status = path.stat()
            known = (status.st_ino, status.st_mtime_ns)
            if known != self._output:
                self._output, self._place = known, (0, 0)  # its journal has gone
                yield from _answers(path)

    def _new_lines(self) -> Iterator[Result]:
        """The journal is read to its end even if the run has removed it meanwhile."""
        if self._journal is None:
            with suppress(FileNotFoundError):
                self._journal = safe_open.open_regular(self._folder.journal)
                if os.fstat(self._journal.fileno()).st_ino == self._place[0]:
                    self._journal.seek(self._place[1])
        if self._journal is None:
            return
        is_removed = os.fstat(self._journal.fileno()).st_nlink == 0
        while line := self._journal.readline():
            if not line.endswith(b"\n"):  # the rest of it is being written
                self._journal.seek(-len(line), os.SEEK_CUR)
                break
            yield from _result(checked_fields(line))
        if is_removed:
            self.close()


def all_results(folder: JobFolder) -> list[Result]:
    """What is there now."""
    reader = ResultReader(folder)
    try:
        return list(reader.new())
    finally:
        reader.close()


def records(results: Iterable[Result]) -> dict[int, Record]:
    """The newest record of each file that has one, by index."""
    return {one.index: one.record for one in results if isinstance(one, Answered)}


def _answers(path: Path) -> Iterator[Answered]:
    with safe_open.open_regular(path) as file:
        for index, line in enumerate(raw_lines(file)):
            yield Answered(index, typed_json.parse(line))


def _result(fields: list[bytes]) -> Iterator[Result]:
    name = _NAME.fullmatch(fields[0]) if len(fields) == 2 else None
    if not name:  # the header, or utterances that have stalled
        return
    index, value = int(name[1]), fields[1].decode(errors="surrogateescape")
    if not name[2]:
        yield Answered(index, typed_json.parse(value))
    elif name[3] is None:
        yield Divided(index, divisions.load(value))
    else:
        yield PartAnswered(index, int(name[3]), typed_json.parse(value))
