"""What became of each try at a split: two lines a try, beside the split's results.

``OUTPUT_DIR/slurm/SPLIT.attempts`` has a line when a task begins the split and one when it ends;
where the second is missing, the task runs or was killed. Only the task itself writes there.
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
from speechkit.io.output_status import output_status

_MOST_BYTES = 16 << 20  # of the tries at a split, some 50,000


@dataclass(frozen=True, slots=True)
class End:
    """``time`` in seconds since 1970, ``done`` utterances answered by then. ``code``: the exit
    code, ``reason`` why it isn't that of a finished split."""

    time: float
    done: int
    code: int
    requeued: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """``job``: SLURM's number of the task, 0 without SLURM. ``log`` is "" where its messages go to
    no file. ``time``, ``done``: as in `End`, when it began."""

    job: int
    host: str
    log: str
    time: float
    done: int
    end: End | None = None


def begin(output: Path) -> Attempt:
    """This task's try at the split whose results go to ``output``, on record from here on."""
    log = Path("/proc/self/fd/2")
    target = str(log.readlink()) if log.is_file() else ""
    attempt = Attempt(
        job=int(os.environ.get("SLURM_JOB_ID") or 0),
        host=socket.gethostname(),
        log=target if Path(target).is_file() else "",
        time=time.time(),
        done=output_status(output).answered,
    )
    record = asdict(attempt)
    del record["end"]
    _append(output, record)
    return attempt


def finish(output: Path, end: End) -> None:
    _append(output, {"end": asdict(end)})


def read(output: Path) -> list[Attempt]:
    """All tries so far, the first one first. Raises `UsageError` where nothing can be read."""
    path = _file(output)
    try:
        lines = safe_open.read_bounded(path, _MOST_BYTES).splitlines()
    except FileNotFoundError:
        return []
    except OSError as e:
        raise UsageError(f"{path}: can't be read: {e.strerror}; move it away") from e
    found: list[Attempt] = []
    for line in lines:
        try:
            record = typed_json.parse(line)
            if found and isinstance(record, dict) and "end" in record:
                found[-1] = replace(found[-1], end=typed_json.to_dataclass(End, record["end"]))
            else:
                found.append(typed_json.to_dataclass(Attempt, record))
        except ValueError:  # empty, torn by a crash of the machine, or not from a task
            continue
    return found


def fruitless(attempts: Sequence[Attempt], job: int) -> int:
    """How many of the last tries in a row, all of one job, finished no utterance."""
    count = 0
    after = None  # utterances that the next try found done
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
            file.write(
                f"\n{json.dumps(record)}\n".encode()
            )  # apart from what a crash may have torn
