"""The journal of a run: ``OUT.part`` grows as results come, ``OUT`` appears when all are there.

The part's first line pins what the run is (stage, options, input). Every further line is
``checksum TAB index TAB record TAB record…``: the output lines of one utterance in JSON, which
holds no raw tab, after the CRC-32 of the rest of the line. After ``stalled`` in the place of the
index come the indices of utterances in whose batch the engine hung. What a killed run left behind
its last newline is dropped at the next start, what a crash of the machine spoilt is passed over.
Beside ``OUT`` stands ``.OUT.run.json``: what it was made with, so that a second run knows its own
work.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import time
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from speechkit.errors import OutputConflict, OutputFailed
from speechkit.io import atomic, safe_open, typed_json
from speechkit.io.file_names import MOST_BYTES, shorten
from speechkit.io.safe_open import is_still_at

log = logging.getLogger(__name__)

FORMAT = 1  # of the part file; another number is another format
MAGIC = b'{"speechkit_part": '  # what every part begins with
STALLED = "stalled"  # in the place of an index
LOOKS, LOOK_SECONDS = 5, 0.1  # how often and for how long a lock may be another's
HEADER_BYTES = 1 << 20  # at most; a foreign file may hold no newline at all


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What makes two runs the same: results of one may stand beside results of the other.

    ``input`` is the fingerprint of the input, ``written`` that with relative paths left as they are
    written, so that a folder may be moved with all that is in it.
    """

    stage: str
    options: Mapping[str, Any]
    input: str
    utterances: int
    written: str = ""

    def header(self) -> dict[str, Any]:
        return {
            "speechkit_part": FORMAT,
            "stage": self.stage,
            "input": self.input,
            "written": self.written or self.input,
            "utterances": self.utterances,
            "options": dict(self.options),
        }

    def difference(self, other: Mapping[str, Any]) -> str | None:
        """What differs from the header of an earlier run, as a phrase; None if nothing does.

        Raises ValueError for what is no such header.
        """
        if not isinstance(other, Mapping) or not isinstance(other.get("options"), Mapping):
            raise ValueError("not the header of a run")
        mine = json.loads(json.dumps(self.header()))
        for key, what in (("speechkit_part", "format"), ("stage", "stage")):
            if other.get(key) != mine[key]:
                return f"{what} {other.get(key)}, now {mine[key]}"
        same = "written" if "written" in other else "input"
        if any(other.get(key) != mine[key] for key in (same, "utterances")):
            return "another input"
        before, now = _flat(other["options"]), _flat(mine["options"])
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return ", ".join(f"{key} {before.get(key)}, now {now.get(key)}" for key in keys) or None


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Groups of options dissolved into their members."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        flat.update(_flat(value) if isinstance(value, Mapping) else {key: value})
    return flat


class Journal:
    """The results of one run on their way to ``OUT``. Locked against a second run.

    Raises `OutputConflict` where the part belongs to another run or another run is writing it,
    `OutputFailed` where the folder can't be written.
    """

    def __init__(self, output: str | Path, identity: RunIdentity, *, restart: bool = False) -> None:
        self.output = Path(output)
        self.part = part_path(self.output)
        self._identity = identity
        self.stalled: set[int] = set()
        self._offsets = array("q", bytes(8 * identity.utterances))  # 0: not done (the header's)
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
        """Takes the output lines of one utterance; `flush` makes them safe from a kill."""
        self._offsets[index] = self._write([str(index), *lines])

    def mark_stalled(self, indices: Sequence[int]) -> None:
        """Remembers utterances in whose batch the engine hung, also for the next run."""
        self._write([STALLED, *map(str, indices)])
        self.flush()
        self.stalled.update(indices)

    def _write(self, fields: Sequence[str]) -> int:
        """Where in the part the line begins."""
        body = "\t".join(fields).encode()
        line = b"%08x\t%s\n" % (zlib.crc32(body), body)
        with atomic.output_errors(self.part):
            self._file.write(line)
        offset, self._end = self._end, self._end + len(line)
        return offset

    def flush(self) -> None:
        """Raises `OutputFailed` where somebody has taken away what was flushed before."""
        with atomic.output_errors(self.part):
            self._file.flush()
            if os.fstat(self._file.fileno()).st_size < self._end:
                raise OutputFailed(
                    f"{self.part}: somebody has cut it while this run was writing it; run the same "
                    "command again"
                )

    @property
    def stands(self) -> bool:
        """Whether the part is still there, so that another run can go on with it."""
        return is_still_at(self._file, self.part)

    def keep(self, index: int, lines: Sequence[bytes] | None) -> None:
        """Puts these lines in the place of an earlier run's, or forgets that for None."""
        if lines is None:
            self._offsets[index] = 0
        else:
            self.append(index, [line.decode() for line in lines])

    def drop_failed(self) -> int:
        """Forgets the utterances with an error, so that they run again; how many there were."""
        dropped = 0
        for index, lines in self.entries():
            if any(map(error_type, lines)):
                self.keep(index, None)
                dropped += 1
        return dropped

    def lines(self) -> Iterator[list[bytes]]:
        """The output lines of each utterance, in input order."""
        for _, lines in self.entries():
            yield lines

    def publish(self, record: Mapping[str, Any]) -> None:
        """Gives the results their final name, in input order; ``record`` is kept beside them."""
        if not self.stands and os.path.lexists(self.part):
            raise OutputConflict(f"{self.part}: another run is writing this output")
        marker = marker_path(self.output)
        for path in (self.output, marker):
            atomic.sweep(path)
        with atomic.publish(self.output) as final:
            for lines in self.lines():
                for line in lines:
                    final.write(line + b"\n")
            account = {**self._identity.header(), "bytes": final.tell(), **record}
            atomic.write_text(marker, json.dumps(account, indent=1) + "\n")
        if self.stands:
            with atomic.output_errors(self.part):
                self.part.unlink()

    def entries(self) -> Iterator[tuple[int, list[bytes]]]:
        """As `lines`, with each utterance's index; others may be appended meanwhile."""
        self.flush()
        with atomic.output_errors(self.part):
            self._reader.seek(0, os.SEEK_END)  # drops what it has read of a torn line
            for index, offset in enumerate(self._offsets):
                if offset:
                    self._reader.seek(offset)
                    checksum, _, body = self._reader.readline().rstrip(b"\n").partition(b"\t")
                    own, _, lines = body.partition(b"\t")
                    if checksum != b"%08x" % zlib.crc32(body) or own != b"%d" % index:
                        raise OutputConflict(
                            f"{self.part}: was written by another run at the same time; "
                            "run the same command again"
                        )
                    yield index, lines.split(b"\t") if lines else []

    def _locked(self) -> IO[bytes]:
        while True:
            file = safe_open.open_append(self.part)
            try:
                _lock(file)
            except OSError as e:
                if e.errno == errno.EWOULDBLOCK:
                    file.close()
                    raise OutputConflict(f"{self.part}: another run is writing this output") from e
                log.warning(
                    "%s: this file system has no locks (%s): see to it that no second run writes "
                    "this output",
                    self.part,
                    e.strerror,
                )
            # The run that held the lock may have renamed and removed what we just opened.
            if is_still_at(file, self.part):
                return file
            file.close()

    def _load(self) -> int:
        """Where the next line goes."""
        header = self._reader.readline(HEADER_BYTES)
        if not header.endswith(b"\n") and MAGIC.startswith(header[: len(MAGIC)]):
            return self._begin()
        difference = self._difference(header)
        if difference and header.startswith(MAGIC) and not self._reader.read(1):
            return self._begin()  # that run never got anywhere
        if difference:
            raise OutputConflict(
                f"{self.part}: an unfinished run with {difference}; "
                "finish that one, name another output, or start over with --restart"
            )
        end = self._reader.tell()
        for line in self._reader:
            if not line.endswith(b"\n"):
                break
            checksum, _, body = line.rstrip(b"\n").partition(b"\t")
            if body and checksum == b"%08x" % zlib.crc32(body):
                first, _, others = body.partition(b"\t")
                if first == STALLED.encode():
                    found = map(self._index, others.split(b"\t"))
                    self.stalled.update(index for index in found if index is not None)
                elif (index := self._index(first)) is not None:
                    self._offsets[index] = end
            end += len(line)
        self._file.truncate(end)
        return end

    def _index(self, digits: bytes) -> int | None:
        """None for what no utterance of this run has."""
        count = len(self._offsets)
        index = int(digits) if digits.isdigit() and len(digits) <= len(str(count)) else count
        return index if index < count and digits == b"%d" % index else None

    def _begin(self) -> int:
        header = json.dumps(self._identity.header()).encode() + b"\n"
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


def _lock(file: IO[bytes]) -> None:
    """For itself alone; who only looks (`output_status`) has it for a moment."""
    for wait in (*[LOOK_SECONDS] * LOOKS, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as e:
            if e.errno != errno.EWOULDBLOCK or wait is None:
                raise
            time.sleep(wait)


def error_type(line: bytes) -> str | None:
    """The type of the error in an output line; None where its utterance didn't fail."""
    record = typed_json.parse(line) if b'"error"' in line else None
    error = record.get("error") if isinstance(record, dict) else None
    if error is None:
        return None
    return str(error.get("type", "Error")) if isinstance(error, dict) else "Error"


def flags_of(line: bytes) -> tuple[str, ...]:
    """The doubts that an output line names."""
    flags = json.loads(line).get("flags") if b'"flags"' in line else None
    return tuple(map(str, flags)) if isinstance(flags, list) else ()


def part_path(output: Path) -> Path:
    return output.with_name(shorten(output.name, MOST_BYTES - len(".part")) + ".part")


def marker_path(output: Path) -> Path:
    return output.with_name(f".{shorten(output.name, MOST_BYTES - len('..run.json'))}.run.json")
