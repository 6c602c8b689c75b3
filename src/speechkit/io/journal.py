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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from speechkit.errors import OutputConflict
from speechkit.io import atomic
from speechkit.io.names import MOST_BYTES, short

log = logging.getLogger(__name__)

FORMAT = 1  # of the part file; another number is another format
MAGIC = b'{"speechkit_part": '  # what every part begins with
STALLED = "stalled"  # in the place of an index
LOOKS, LOOK_SECONDS = 5, 0.1  # how often and for how long a lock may be another's
HEADER_BYTES = 1 << 20  # at most; a foreign file may hold no newline at all


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What makes two runs the same: results of one may stand beside results of the other."""

    stage: str
    options: Mapping[str, Any]
    input: str
    utterances: int

    def header(self) -> dict[str, Any]:
        return {
            "speechkit_part": FORMAT,
            "stage": self.stage,
            "input": self.input,
            "utterances": self.utterances,
            "options": dict(self.options),
        }

    def difference(self, other: Mapping[str, Any]) -> str | None:
        """What differs from the header of an earlier run, as a phrase; None if nothing does."""
        mine = json.loads(json.dumps(self.header()))
        if other == mine:
            return None
        for key, what in (("speechkit_part", "format"), ("stage", "stage")):
            if other.get(key) != mine[key]:
                return f"{what} {other.get(key)}, now {mine[key]}"
        if (other.get("input"), other.get("utterances")) != (mine["input"], mine["utterances"]):
            return "another input"
        before, now = _flat(other.get("options", {})), _flat(mine["options"])
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return ", ".join(f"{key} {before.get(key)}, now {now.get(key)}" for key in keys)


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
            atomic.refuse_special(self.output)
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._locked()
        try:
            with atomic.output_errors(self.part):
                if restart:
                    self._file.truncate(0)
                self._load()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
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
        with atomic.output_errors(self.part):
            offset = self._file.tell()
            self._file.write(b"%08x\t%s\n" % (zlib.crc32(body), body))
        return offset

    def flush(self) -> None:
        with atomic.output_errors(self.part):
            self._file.flush()

    def drop_failed(self) -> int:
        """Forgets the utterances with an error, so that they run again; how many there were."""
        dropped = 0
        for index, lines in self._entries():
            if any(map(error_type, lines)):
                self._offsets[index] = 0
                dropped += 1
        return dropped

    def lines(self) -> Iterator[list[bytes]]:
        """The output lines of each utterance, in input order."""
        for _, lines in self._entries():
            yield lines

    def publish(self, record: Mapping[str, Any]) -> None:
        """Gives the results their final name, in input order; ``record`` is kept beside them."""
        marker = marker_path(self.output)
        for path in (self.output, marker):
            atomic.sweep(path)
        with atomic.publish(self.output) as final:
            for lines in self.lines():
                for line in lines:
                    final.write(line + b"\n")
            account = {**self._identity.header(), "bytes": final.tell(), **record}
            atomic.write_text(marker, json.dumps(account, indent=1) + "\n")
        self.part.unlink()

    def _entries(self) -> Iterator[tuple[int, list[bytes]]]:
        with atomic.output_errors(self.part):
            self._file.flush()
            for index, offset in enumerate(self._offsets):
                if offset:
                    self._file.seek(offset)
                    checksum, _, body = self._file.readline().rstrip(b"\n").partition(b"\t")
                    own, _, lines = body.partition(b"\t")
                    if checksum != b"%08x" % zlib.crc32(body) or own != b"%d" % index:
                        raise OutputConflict(
                            f"{self.part}: was written by another run at the same time; "
                            "run the same command again"
                        )
                    yield index, lines.split(b"\t") if lines else []
            self._file.seek(0, os.SEEK_END)

    def _locked(self) -> IO[bytes]:
        while True:
            file = open(self.part, "a+b")  # noqa: SIM115
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
            if self.part.exists() and self.part.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
            file.close()

    def _load(self) -> None:
        self._file.seek(0)
        header = self._file.readline(HEADER_BYTES)
        if not header.endswith(b"\n") and MAGIC.startswith(header[: len(MAGIC)]):
            self._begin()
            return
        difference = self._difference(header)
        if (
            difference and header.startswith(MAGIC) and not self._file.read(1)
        ):  # that run never got anywhere
            self._begin()
            return
        if difference:
            raise OutputConflict(
                f"{self.part}: an unfinished run with {difference}; "
                "finish that one, name another output, or start over with --restart"
            )
        end = self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            checksum, _, body = line.rstrip(b"\n").partition(b"\t")
            if body and checksum == b"%08x" % zlib.crc32(body):
                first, *others = body.split(b"\t", 1)
                if first == STALLED.encode():
                    self.stalled.update(map(int, others[0].split(b"\t")))
                else:
                    self._offsets[int(first)] = end
            end += len(line)
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)

    def _begin(self) -> None:
        self._file.truncate(0)
        self._file.write(json.dumps(self._identity.header()).encode() + b"\n")
        self._file.flush()

    def _difference(self, header: bytes) -> str | None:
        try:
            return self._identity.difference(json.loads(header))
        except (ValueError, AttributeError):
            raise OutputConflict(
                f"{self.part}: is not the journal of a run; "
                "name another output, or overwrite it with --restart"
            ) from None


def published(output: Path, identity: RunIdentity) -> dict[str, Any]:
    """What `Journal.publish` kept beside ``output``.

    Raises `OutputConflict` where another run made it, where it was changed afterwards, and where
    nothing tells what made it.
    """
    way_out = "name another output, or compute it anew with --restart"
    try:
        account: dict[str, Any] = json.loads(marker_path(output).read_bytes())
        header = {key: account[key] for key in identity.header()}
        size = account["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputConflict(
            f"{output}: exists, and no {marker_path(output).name} beside it tells what made it; "
            + way_out
        ) from None
    difference = identity.difference(header)
    if difference:
        raise OutputConflict(f"{output}: made by a finished run with {difference}; {way_out}")
    if output.stat().st_size != size:
        raise OutputConflict(f"{output}: changed since a run has made it; {way_out}")
    return account


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an output is: utterances answered, and the types of those answers' errors.
    ``written``: a run is at it."""

    answered: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    written: bool = False


def standing(output: Path) -> Standing:
    """From the outside, while a run may be writing it; nothing where there is no output yet."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        if output.exists():
            account = json.loads(marker_path(output).read_bytes())
            return Standing(account["utterances"], account["errors"])
        failed: dict[bytes, list[str]] = {}  # the types of each answered utterance's errors
        with open(part_path(output), "rb") as part:
            for line in islice(part, 1, None):
                index, *lines = line.rstrip(b"\n").split(b"\t")[1:]
                if index.isdigit() and line.endswith(b"\n"):
                    failed[index] = [kind for kind in map(error_type, lines) if kind]
            errors = Counter(kind for kinds in failed.values() for kind in kinds)
            return Standing(len(failed), errors, _locked_by_other(part))
    return Standing()


def _lock(file: IO[bytes]) -> None:
    """For itself alone; who only looks (`standing`) has it for a moment."""
    for wait in (*[LOOK_SECONDS] * LOOKS, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as e:
            if e.errno != errno.EWOULDBLOCK or wait is None:
                raise
            time.sleep(wait)


def _locked_by_other(part: IO[bytes]) -> bool:
    try:
        fcntl.flock(part, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as e:
        return e.errno == errno.EWOULDBLOCK
    return False


def error_type(line: bytes) -> str | None:
    """The type of the error in an output line; None where its utterance didn't fail."""
    error = json.loads(line).get("error") if b'"error"' in line else None
    if error is None:
        return None
    return str(error.get("type", "Error")) if isinstance(error, dict) else "Error"


def flags_of(line: bytes) -> tuple[str, ...]:
    """The doubts that an output line names."""
    flags = json.loads(line).get("flags") if b'"flags"' in line else None
    return tuple(map(str, flags)) if isinstance(flags, list) else ()


def part_path(output: Path) -> Path:
    return output.with_name(short(output.name, MOST_BYTES - len(".part")) + ".part")


def marker_path(output: Path) -> Path:
    return output.with_name(f".{short(output.name, MOST_BYTES - len('..run.json'))}.run.json")
