"""The journal of a run: ``OUT.part`` grows as results come, ``OUT`` appears when all are there.

The first line of the part is the identity of the run (stage, options, input). Every further line is
``checksum TAB index TAB record TAB record…``: the CRC-32 of the rest of the line, then the output
lines of one utterance in JSON, which holds no raw tab. After ``stalled`` in place of the index come
the indices of utterances in whose batch the engine hung. ``index/`` comes before the division of a
long utterance, and ``index/number`` before the result of one of its parts. The next start drops
what a killed run left after its last newline, and skips damaged lines.

``.OUT.run.json`` beside ``OUT`` holds the identity of the run that wrote it, so that a second run
recognises finished work.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from speechkit.errors import OutputConflict, OutputFailed
from speechkit.io import atomic, safe_open, typed_json
from speechkit.io.file_names import MOST_BYTES, shorten
from speechkit.io.result_lines import error_type
from speechkit.io.run_identity import RunIdentity
from speechkit.io.safe_open import is_still_at

log = logging.getLogger(__name__)

MAGIC = b'{"speechkit_part": '  # the beginning of every part
PART_NUMBER = re.compile(rb"0|[1-9]\d{0,6}")
RESTARTED = "restarted"  # in the header: takes nothing over from a finished output
STALLED = "stalled"  # in the place of an index
HEADER_BYTES = 1 << 20  # at most; a foreign file may hold no newline at all


class Journal:
    """The results of one run on their way to ``OUT``, locked against a second run.

    Raise `OutputConflict` where the part is another run's, `OutputFailed` for a bad folder.
    """

    def __init__(self, output: str | Path, identity: RunIdentity, *, restart: bool = False) -> None:
        self.output = Path(output)
        self.part = part_path(self.output)
        self._identity = identity
        self.restarted = restart  # by this run, or by the one that has begun the part
        self.stalled: set[int] = set()
        self._offsets = array("q", bytes(8 * identity.utterances))  # 0: not done (the header's)
        self._parts: dict[int, dict[str, int]] = {}  # offsets, by index and what is after the slash
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

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        with contextlib.suppress(OSError):  # a full disk has been told of already
            self._file.close()

    def done(self, index: int) -> bool:
        return self._offsets[index] != 0

    @property
    def count(self) -> int:
        return sum(1 for offset in self._offsets if offset)

    def append(self, index: int, lines: Sequence[str]) -> None:
        """Add the output lines of one utterance; `flush` makes them safe from a kill."""
        self._offsets[index] = self._write([str(index), *lines])
        self._drop_parts(index, (line.encode() for line in lines))

    def divide(self, index: int, division: str) -> None:
        """Add how a long utterance is divided, in JSON; parts of an earlier division are void."""
        self._parts[index] = {"": self._write([f"{index}/", division])}

    def append_part(self, index: int, number: int, result: str) -> None:
        """Add the result of a part of a divided utterance, in JSON."""
        self._parts[index][str(number)] = self._write([f"{index}/{number}", result])

    def parts(self, index: int) -> tuple[str, dict[int, str]] | None:
        """The division of an utterance and the results of its parts, by number; None for none."""
        offsets = self._parts.get(index)
        if not offsets:
            return None
        self._reread()
        found = {key: self._read(f"{index}/{key}", offset)[0] for key, offset in offsets.items()}
        text = {key: line.decode(errors="surrogateescape") for key, line in found.items()}
        return text.pop(""), {int(key): line for key, line in text.items()}

    def mark_stalled(self, indices: Sequence[int]) -> None:
        """Record utterances in whose batch the engine hung, also for the next run."""
        self._write([STALLED, *map(str, indices)])
        self.flush()
        self.stalled.update(indices)

    def _write(self, fields: Sequence[str]) -> int:
        """Append a line; return its offset in the part."""
        body = "\t".join(fields).encode()
        line = b"%08x\t%s\n" % (zlib.crc32(body), body)
        with atomic.output_errors(self.part):
            self._file.write(line)
        offset, self._end = self._end, self._end + len(line)
        return offset

    def flush(self) -> None:
        """Write out what was added. Raise `OutputFailed` where somebody has truncated the part."""
        with atomic.output_errors(self.part):
            self._file.flush()
            if os.fstat(self._file.fileno()).st_size < self._end:
                cut = "somebody has cut it while this run was writing it"
                raise OutputFailed(f"{self.part}: {cut}; run the same command again")

    @property
    def stands(self) -> bool:
        """Whether the part is still there, so that another run can continue it."""
        return is_still_at(self._file, self.part)

    def keep(self, index: int, lines: Sequence[bytes] | None) -> None:
        """Replace the lines of an earlier run, or drop them for None."""
        if lines is None:
            self._offsets[index] = 0
        else:
            self.append(index, [line.decode() for line in lines])

    def drop_failed(self) -> int:
        """Drop the utterances with an error, so that they run again; return their number."""
        dropped = 0
        for index, lines in self.entries():
            if any(map(error_type, lines)):
                self.keep(index, None)
                dropped += 1
        return dropped

    def lines(self) -> Iterator[list[bytes]]:
        """The output lines of each utterance, in input order."""
        return (lines for _, lines in self.entries())

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

    def entries(self) -> Iterator[tuple[int, list[bytes]]]:
        """As `lines`, with each utterance's index; others may be appended in the meantime."""
        self._reread()
        with atomic.output_errors(self.part):
            for index, offset in enumerate(self._offsets):
                if offset:
                    yield index, self._read(str(index), offset)

    def _reread(self) -> None:
        """Make all that was added readable."""
        self.flush()
        with atomic.output_errors(self.part):
            self._reader.seek(0, os.SEEK_END)  # discards what it has buffered of a torn line

    def _read(self, name: str, offset: int) -> list[bytes]:
        """The fields after ``name`` of the line at an offset."""
        self._reader.seek(offset)
        checksum, _, body = self._reader.readline().rstrip(b"\n").partition(b"\t")
        first, _, rest = body.partition(b"\t")
        if checksum != b"%08x" % zlib.crc32(body) or first != name.encode():
            raise OutputConflict(
                f"{self.part}: was written by another run at the same time; "
                "run the same command again"
            )
        return rest.split(b"\t") if rest else []

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
            if not line.endswith(b"\n"):
                break
            self._load_line(line, end)
            end += len(line)
        self._file.truncate(end)
        return end

    def _load_line(self, line: bytes, offset: int) -> None:
        """Take in a line of an earlier run; skip a damaged one."""
        checksum, _, body = line.rstrip(b"\n").partition(b"\t")
        if not body or checksum != b"%08x" % zlib.crc32(body):
            return
        first, _, rest = body.partition(b"\t")
        if first == STALLED.encode():
            indices = map(self._index, rest.split(b"\t"))
            self.stalled.update(index for index in indices if index is not None)
        elif b"/" in first:
            self._load_part(first, offset, bool(rest))
        elif (index := self._index(first)) is not None:
            self._offsets[index] = offset
            self._drop_parts(index, rest.split(b"\t"))

    def _load_part(self, first: bytes, offset: int, has_more: bool) -> None:
        """Take in the division of an utterance, or the result of a part of the latest one."""
        digits, _, number = first.partition(b"/")
        index = self._index(digits)
        if index is not None and has_more and not number:
            self._parts[index] = {"": offset}
        elif index in self._parts and has_more and PART_NUMBER.fullmatch(number):
            self._parts[index][number.decode()] = offset

    def _drop_parts(self, index: int, lines: Iterable[bytes]) -> None:
        """Forget the parts of an utterance with a result; after an error, a retry needs them."""
        if index in self._parts and not any(map(error_type, lines)):
            del self._parts[index]

    def _index(self, digits: bytes) -> int | None:
        """The index of an utterance; None where this run has no such utterance."""
        count = len(self._offsets)
        index = int(digits) if digits.isdigit() and len(digits) <= len(str(count)) else count
        return index if index < count and digits == b"%d" % index else None

    def _begin(self) -> int:
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


def part_path(output: Path) -> Path:
    return output.with_name(shorten(output.name, MOST_BYTES - len(".part")) + ".part")


def marker_path(output: Path) -> Path:
    return output.with_name(f".{shorten(output.name, MOST_BYTES - len('..run.json'))}.run.json")
