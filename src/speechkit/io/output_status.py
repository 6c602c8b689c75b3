"""The progress of an output, read from outside its run, and the record of a finished run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from speechkit.errors import OutputConflict
from speechkit.io import safe_open, typed_json
from speechkit.io.part_file import HEADER_BYTES, MAGIC, marker_path, part_path
from speechkit.io.result_lines import error_type
from speechkit.io.run_identity import RunIdentity


def finished_run(output: Path, identity: RunIdentity, *, grows: bool = False) -> dict[str, Any]:
    """The record that `PartFile.publish` kept beside ``output``. ``grows``: it may be that of a run
    over the first utterances of the input.

    Raise `OutputConflict` where another run made it, where it was changed afterwards, and where
    there is no such record.
    """
    way_out = "name another output, or compute it anew with --restart"
    try:
        record = run_record(output)
        difference = identity.difference(record, grows=grows)
    except (OSError, ValueError):
        raise OutputConflict(
            f"{output}: exists, and no {marker_path(output).name} beside it tells what made it; "
            + way_out
        ) from None
    if difference:
        raise OutputConflict(f"{output}: made by a finished run with {difference}; {way_out}")
    if output.stat().st_size != record["bytes"]:
        raise OutputConflict(f"{output}: changed since a run has made it; {way_out}")
    return record


def run_record(output: Path) -> dict[str, Any]:
    """The record beside a finished output. Raise OSError, and ValueError where it is no record."""
    record = typed_json.parse(safe_open.read_bounded(marker_path(output), HEADER_BYTES))
    if not isinstance(record, dict):
        raise ValueError("no object")
    keys = ("utterances", "bytes", "errors", "flags")
    typed_json.to_dataclass(_Totals, {key: record[key] for key in keys if key in record})
    return record


@dataclass(frozen=True, slots=True)
class _Totals:
    """The fields of the record that are read, beside the header."""

    utterances: int
    bytes: int
    errors: dict[str, int]
    flags: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """How far an output is: utterances answered, and the types of errors among the answers.

    ``parts``: results of parts of long utterances, in an unfinished output.
    ``in_progress``: a run is writing it. ``broken``: the reason why no run has written what is
    there, "" where a run has.
    """

    answered: int = 0
    parts: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    in_progress: bool = False
    broken: str = ""

    @property
    def results(self) -> int:
        """All results, of utterances and parts: a run that has advanced has more."""
        return self.answered + self.parts


def output_status(output: Path) -> OutputStatus:
    """The status of an output, which a run may be writing; all zeros where there is none yet."""
    source = marker_path(output) if output.exists() else part_path(output)
    try:
        if source == part_path(output):
            return _unfinished(source)
        record = run_record(output)
        return OutputStatus(record["utterances"], errors=record["errors"])
    except FileNotFoundError:
        return OutputStatus()
    except OSError as e:
        return OutputStatus(broken=f"{source}: can't be read: {e.strerror}")
    except ValueError as e:
        return OutputStatus(broken=f"{source}: is not what a run has written there ({e})")


def _unfinished(path: Path) -> OutputStatus:
    """The status of a part. Raise OSError, and ValueError for a part that no run can continue."""
    error_types: dict[bytes, list[str]] = {}  # of each answered utterance
    parts: set[bytes] = set()
    with safe_open.open_regular(path) as part:
        header = part.readline(HEADER_BYTES)
        if header.endswith(b"\n") and not header.startswith(MAGIC):
            raise ValueError("no header of a run")
        for line in part:
            index, *lines = line.rstrip(b"\n").split(b"\t")[1:] or [b""]
            if re.fullmatch(rb"\d+/\d+", index):
                parts.add(index)
            if index.isdigit() and line.endswith(b"\n"):
                with contextlib.suppress(ValueError):  # damaged: a run would compute it again
                    error_types[index] = [name for name in map(error_type, lines) if name]
        errors = Counter(name for names in error_types.values() for name in names)
        return OutputStatus(len(error_types), len(parts), errors, _locked_by_other(part))


def _locked_by_other(part: IO[bytes]) -> bool:
    try:
        fcntl.flock(part, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as e:
        return e.errno == errno.EWOULDBLOCK
    return False
