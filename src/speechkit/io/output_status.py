"""How far an output is, seen from the outside, and whether a run has finished it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from speechkit.errors import OutputConflict
from speechkit.io import safe_open, typed_json
from speechkit.io.journal import (
    HEADER_BYTES,
    MAGIC,
    RunIdentity,
    error_type,
    marker_path,
    part_path,
)


def finished_run(output: Path, identity: RunIdentity) -> dict[str, Any]:
    """What `Journal.publish` kept beside ``output``.

    Raises `OutputConflict` where another run made it, where it was changed afterwards, and where
    nothing tells what made it.
    """
    way_out = "name another output, or compute it anew with --restart"
    try:
        account = _account(output)
        difference = identity.difference(account)
    except (OSError, ValueError):
        raise OutputConflict(
            f"{output}: exists, and no {marker_path(output).name} beside it tells what made it; "
            + way_out
        ) from None
    if difference:
        raise OutputConflict(f"{output}: made by a finished run with {difference}; {way_out}")
    if output.stat().st_size != account["bytes"]:
        raise OutputConflict(f"{output}: changed since a run has made it; {way_out}")
    return account


def _account(output: Path) -> dict[str, Any]:
    """What stands beside a finished output. Raises OSError, and ValueError where it is odd."""
    account = typed_json.parse(safe_open.read_bounded(marker_path(output), HEADER_BYTES))
    if not isinstance(account, dict):
        raise ValueError("no object")
    own = ("utterances", "bytes", "errors", "flags")
    typed_json.to_dataclass(_Account, {key: account[key] for key in own if key in account})
    return account


@dataclass(frozen=True, slots=True)
class _Account:
    """What is read of it beside the header."""

    utterances: int
    bytes: int
    errors: dict[str, int]
    flags: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """How far an output is: utterances answered, and the types of errors among the answers.

    ``in_progress``: a run is writing it. ``broken``: the reason why no run has written what is
    there, "" where a run has.
    """

    answered: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    in_progress: bool = False
    broken: str = ""


def output_status(output: Path) -> OutputStatus:
    """From the outside, while a run may be writing it; nothing where there is no output yet."""
    kept = marker_path(output) if output.exists() else part_path(output)
    try:
        if kept == part_path(output):
            return _unfinished(kept)
        account = _account(output)
        return OutputStatus(account["utterances"], account["errors"])
    except FileNotFoundError:
        return OutputStatus()
    except OSError as e:
        return OutputStatus(broken=f"{kept}: can't be read: {e.strerror}")
    except ValueError as e:
        return OutputStatus(broken=f"{kept}: is not what a run has written there ({e})")


def _unfinished(path: Path) -> OutputStatus:
    """Raises OSError, and ValueError for a part that no run can go on with."""
    failed: dict[bytes, list[str]] = {}  # the types of each answered utterance's errors
    with safe_open.open_regular(path) as part:
        header = part.readline(HEADER_BYTES)
        if header.endswith(b"\n") and not header.startswith(MAGIC):
            raise ValueError("no header of a run")
        for line in part:
            index, *lines = line.rstrip(b"\n").split(b"\t")[1:] or [b""]
            if index.isdigit() and line.endswith(b"\n"):
                with contextlib.suppress(ValueError):  # spoilt: a run would compute it again
                    failed[index] = [kind for kind in map(error_type, lines) if kind]
        errors = Counter(kind for kinds in failed.values() for kind in kinds)
        return OutputStatus(len(failed), errors, _locked_by_other(part))


def _locked_by_other(part: IO[bytes]) -> bool:
    try:
        fcntl.flock(part, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as e:
        return e.errno == errno.EWOULDBLOCK
    return False
