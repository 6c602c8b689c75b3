"""Log of attempts at each split, or at a training: ``OUTPUT_DIR/slurm/SPLIT.attempts``.

A task appends one line at the beginning of an attempt and one at its end. If the second line is
missing, the task is running or was killed. Nothing else writes to the file.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from speechkit.errors import UsageError
from speechkit.io import safe_open, typed_json
from speechkit.io.atomic import output_errors

_MOST_BYTES = 16 << 20  # of a log, some 50,000 attempts


@dataclass(frozen=True, slots=True)
class End:
    """The end of an attempt.

    ``time``: seconds since 1970. ``done``: results of utterances and of parts by then, or steps of
    a training. ``code``: exit code. ``reason``: a sentence if the split isn't finished.
    """

    time: float
    done: int
    code: int
    requeued: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a split.

    ``job``: SLURM's number of the task, 0 without SLURM. ``log``: the file with the task's
    messages, "" without one. ``time`` and ``done``: as in `End`, at the beginning.
    """

    job: int
    host: str
    log: str
    time: float
    done: int
    end: End | None = None


def begin(output: Path, done: int) -> Attempt:
    """Log the beginning of this task's attempt at the split whose results go to ``output``."""
    log = Path("/proc/self/fd/2")
    target = str(log.readlink()) if log.is_file() else ""
    attempt = Attempt(
        job=int(os.environ.get("SLURM_JOB_ID") or 0),
        host=socket.gethostname(),
        log=target if Path(target).is_file() else "",
        time=time.time(),
        done=done,
    )
    record = asdict(attempt)
    del record["end"]
    _append(output, record)
    return attempt


def finish(output: Path, end: End) -> None:
    _append(output, {"end": asdict(end)})


def read(output: Path) -> list[Attempt]:
    """Return all attempts, the first one first. Raises `UsageError` for an unreadable log."""
    path = _file(output)
    try:
        lines = safe_open.read_bounded(path, _MOST_BYTES).splitlines()
    except FileNotFoundError:
        return []
    except OSError as e:
        raise UsageError(f"{path}: can't be read: {e.strerror}; move it away") from e
    attempts: list[Attempt] = []
    for line in lines:
        try:
            record = typed_json.parse(line)
            if attempts and isinstance(record, dict) and "end" in record:
                attempts[-1] = replace(
                    attempts[-1], end=typed_json.to_dataclass(End, record["end"])
                )
            else:
                attempts.append(typed_json.to_dataclass(Attempt, record))
        except ValueError:  # empty, torn by a crash of the machine, or not from a task
            continue
    return attempts


def fruitless(attempts: Sequence[Attempt], job: int) -> int:
    """The number of the latest attempts in a row, all of the job, without a result."""
    count = 0
    after = None  # results at the beginning of the next attempt
    for attempt in reversed(attempts):
        done = attempt.end.done if attempt.end else after
        if attempt.job != job or (done is not None and done > attempt.done):
            break
        count += 1
        after = attempt.done
    return count


def _file(output: Path) -> Path:
    return output.parent / "slurm" / f"{output.stem}.attempts"


def _append(output: Path, record: dict[str, Any]) -> None:
    path = _file(output)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with safe_open.open_append(path) as file:
            # A newline first, because a crash may have torn the last line.
            file.write(f"\n{json.dumps(record)}\n".encode())
