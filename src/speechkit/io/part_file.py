"""An unfinished output: ``OUT.part`` grows as results come, ``OUT`` appears when all are there.

The first line of the part is the identity of the run (stage, options, input). Every further line is
``checksum TAB field TAB field…``: the CRC-32 of the rest of the line, then fields that hold no raw
tab, such as JSON. The next start drops what a killed run left after its last newline.

``.OUT.run.json`` beside ``OUT`` holds the identity of the run that wrote it, so that a second run
recognises finished work.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from speechkit.errors import OutputConflict, OutputFailed
from speechkit.io import atomic, safe_open, typed_json
from speechkit.io.file_names import MOST_BYTES, shorten
from speechkit.io.run_identity import RunIdentity
from speechkit.io.safe_open import is_still_at

log = logging.getLogger(__name__)

MAGIC = b'{"speechkit_part": '  # the beginning of every part
RESTARTED = "restarted"  # in the header: takes nothing over from a finished output
HEADER_BYTES = 1 << 20  # at most; a foreign file may hold no newline at all

Own = TypeVar("Own", bound="PartFile")


class PartFile(ABC):
    """The lines of one run on their way to ``OUT``, locked against a second run.

    Raise `OutputConflict` where the part is another run's, `OutputFailed` for a bad folder.
    """

    def __init__(self, output: str | Path, identity: RunIdentity, *, restart: bool = False) -> None:
        self.output = Path(output)
        self.part = part_path(self.output)
        self._identity = identity
        self.restarted = restart  # by this run, or by the one that has begun the part
        self.is_new = False  # nothing of an earlier run is in it
        with atomic.output_errors(self.output):
            for final in (self.output, marker_path(self.output)):
                atomic.refuse_special(final)
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._locked()
        try:
            with atomic.output_errors(self.part):
                if restart:
                    self._file.truncate(0)
                self._reader = safe_open.open_regular(self.part)
                self._end = self._load()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        with contextlib.suppress(OSError):  # a full disk has been told of already
            self._file.close()

    @abstractmethod
    def _take_in(self, fields: list[bytes], offset: int) -> bool:
        """Take in a line of an earlier run, without fields if it is damaged. False drops it and
        all lines after it."""

    @property
    def stands(self) -> bool:
        """Whether the part is still there, so that another run can continue it."""
        return is_still_at(self._file, self.part)

    def flush(self) -> None:
        """Write out what was added. Raise `OutputFailed` where somebody has truncated the part."""
        with atomic.output_errors(self.part):
            self._file.flush()
            if os.fstat(self._file.fileno()).st_size < self._end:
                cut = "somebody has cut it while this run was writing it"
                raise OutputFailed(f"{self.part}: {cut}; run the same command again")

    def publish(self, lines: Iterable[bytes], account: Callable[[], Mapping[str, Any]]) -> None:
        """Write the final ``lines`` of the results under their final name.

        ``account``: what is recorded beside them, called after the last line.
        """
        if not self.stands and os.path.lexists(self.part):
            raise OutputConflict(f"{self.part}: another run is writing this output")
        marker = marker_path(self.output)
        for path in (self.output, marker):
            atomic.sweep(path)
        with atomic.publish(self.output) as final:
            for line in lines:
                final.write(line + b"\n")
            known = {**self._identity.header(), "bytes": final.tell(), **account()}
            atomic.write_text(marker, json.dumps(known, indent=1) + "\n")
        if self.stands:
            with atomic.output_errors(self.part):
                self.part.unlink()

    def _write(self, fields: Sequence[str]) -> int:
        """Append a line; return its offset in the part."""
        body = "\t".join(fields).encode()
        line = b"%08x\t%s\n" % (zlib.crc32(body), body)
        with atomic.output_errors(self.part):
            self._file.write(line)
        offset, self._end = self._end, self._end + len(line)
        return offset

    def _reread(self) -> None:
        """Make all that was added readable."""
        self.flush()
        with atomic.output_errors(self.part):
            self._reader.seek(0, os.SEEK_END)  # discards what it has buffered of a torn line

    def _fields(self, offset: int) -> list[bytes]:
        """The fields of the line at an offset, none if it is damaged."""
        self._reader.seek(offset)
        return checked_fields(self._reader.readline())

    def _written_by_another(self) -> OutputConflict:
        return OutputConflict(
            f"{self.part}: was written by another run at the same time; run the same command again"
        )

    def _locked(self) -> IO[bytes]:
        while True:
            file = safe_open.open_append(self.part)
            try:
                safe_open.lock(file)
            except OSError as e:
                if e.errno == errno.EWOULDBLOCK:
                    file.close()
                    raise OutputConflict(f"{self.part}: another run is writing this output") from e
                no_locks = "this file system has no locks (%s): see to it that no second run writes"
                log.warning(f"%s: {no_locks} this output", self.part, e.strerror)
            # The run that held the lock may have renamed and removed what we just opened.
            if is_still_at(file, self.part):
                return file
            file.close()

    def _load(self) -> int:
        """Read the part, or begin it; return the offset of the next line."""
        header = self._reader.readline(HEADER_BYTES)
        if not header.endswith(b"\n") and MAGIC.startswith(header[: len(MAGIC)]):
            return self._begin()
        difference = self._difference(header)
        if difference and header.startswith(MAGIC) and not self._reader.read(1):
            return self._begin()  # that run had no results
        if difference:
            raise OutputConflict(
                f"{self.part}: an unfinished run with {difference}; "
                "finish that one, name another output, or start over with --restart"
            )
        self.restarted = self.restarted or bool(typed_json.parse(header).get(RESTARTED))
        end = self._reader.tell()
        for line in self._reader:
            if not (line.endswith(b"\n") and self._take_in(checked_fields(line), end)):
                break
            end += len(line)
        self._file.truncate(end)
        return end

    def _begin(self) -> int:
        self.is_new = True
        header = json.dumps({**self._identity.header(), RESTARTED: self.restarted}).encode() + b"\n"
        self._file.truncate(0)
        self._file.write(header)
        self._file.flush()
        return len(header)

    def _difference(self, header: bytes) -> str | None:
        try:
            return self._identity.difference(typed_json.parse(header))
        except ValueError:
            raise OutputConflict(
                f"{self.part}: is not the journal of a run; "
                "name another output, or overwrite it with --restart"
            ) from None


def checked_fields(line: bytes) -> list[bytes]:
    """The fields of a line of a part, none if it is damaged or the header."""
    checksum, _, body = line.rstrip(b"\n").partition(b"\t")
    return body.split(b"\t") if body and checksum == b"%08x" % zlib.crc32(body) else []


def part_path(output: Path) -> Path:
    return output.with_name(shorten(output.name, MOST_BYTES - len(".part")) + ".part")


def marker_path(output: Path) -> Path:
    return output.with_name(f".{shorten(output.name, MOST_BYTES - len('..run.json'))}.run.json")
