"""The file of a run's metrics: JSON Lines, appended to by every run of the same output.

Each run begins with a line whose event is ``run`` and closes with ``end``, unless it was killed.
One process writes, whole lines at once. What a killed run has torn is dropped at the next start.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from speechkit.errors import OutputConflict, UsageError
from speechkit.io import safe_open, typed_json
from speechkit.io.atomic import output_errors
from speechkit.io.file_names import shown
from speechkit.io.part_file import part_path

FORMAT = 1
MAGIC = b'{"event": "run", "metrics": '  # the beginning of every file
_TAIL = 1 << 20  # bytes, longer than any line

log = logging.getLogger(__name__)


class MetricsFile:
    """Opens the file, creates it or continues it, for runs that write ``output``.

    Raise `OutputConflict` for a file of something else and where another run writes it, and
    `OutputFailed`. Later failures end the metrics, with one warning, and not the run.
    """

    def __init__(self, path: Path, output: str | None) -> None:
        self._path = path
        self._output = output
        self._lock = threading.Lock()
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: Any = safe_open.open_append(path)
            try:
                self._claim()
                self._mend()
            except BaseException:
                self._file.close()
                raise

    def _claim(self) -> None:
        try:
            safe_open.lock(self._file)
        except OSError as e:
            if e.errno == errno.EWOULDBLOCK:
                raise OutputConflict(
                    f"--metrics {shown(self._path)}: another run is writing its metrics "
                    "there; name another file"
                ) from e

    def _mend(self) -> None:
        """Drop a line without an end."""
        with safe_open.open_regular(self._path) as file:
            begin = file.read(len(MAGIC))
            if begin and not MAGIC.startswith(begin):
                raise OutputConflict(
                    f"--metrics {shown(self._path)}: is no file of metrics and is not appended to; "
                    "name another file"
                )
            file.seek(0)
            self._require_same_output(file.readline(_TAIL))
            size = file.seek(0, os.SEEK_END)
            tail_start = file.seek(max(0, size - _TAIL))
            whole = file.read().rfind(b"\n") + 1
        if tail_start + whole < size:
            self._file.truncate(tail_start + whole)

    def _require_same_output(self, line: bytes) -> None:
        """``line``: the first one of the file."""
        try:
            before = typed_json.parse(line)["output"]
        except (ValueError, LookupError, TypeError):
            return
        if before == self._output or (before and self._output and _moved(before, self._output)):
            return
        whose = shown(before) if isinstance(before, str) else "a run without an output"
        raise OutputConflict(
            f"--metrics {shown(self._path)}: has the metrics of {whose}; name another file"
        )

    def write(self, lines: str) -> None:
        """Append whole lines, by one write()."""
        data = lines.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._file is None:
                return
            reason = self._append(data)
            if reason is None:
                return
            self._close()
        log.warning(
            "%s: can't be written: %s; the run goes on without metrics",
            shown(self._path),
            reason,
            extra={"event": "metrics_dropped"},
        )

    def _append(self, data: bytes) -> str | None:
        """Write all of the data, or nothing of it and return the reason."""
        descriptor = self._file.fileno()
        try:
            size = os.fstat(descriptor).st_size
        except OSError as e:
            return str(e.strerror)
        try:
            if os.write(descriptor, data) == len(data):
                return None
            reason = os.strerror(errno.ENOSPC)
        except OSError as e:
            reason = str(e.strerror)
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        return reason

    def close(self) -> None:
        """A file in which nothing was written is removed."""
        with self._lock:
            if self._file is not None:
                with suppress(OSError):
                    if not os.fstat(self._file.fileno()).st_size:
                        self._path.unlink()
                self._close()

    def _close(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._file = None


def _moved(before: Any, now: str) -> bool:
    """Whether an output has gone from one folder to another, with its metrics."""
    path = Path(str(before))
    gone = not (os.path.lexists(path) or os.path.lexists(part_path(path)))
    return path.name == Path(now).name and gone


def is_metrics(path: Path) -> bool:
    """Whether a file begins as metrics do. Raise OSError."""
    with safe_open.open_regular(path) as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, one after the other, without a torn or damaged one.

    Raise `UsageError` for anything but metrics.
    """
    try:
        with safe_open.open_regular(path) as file:
            begin = file.peek(len(MAGIC))[: len(MAGIC)]  # type: ignore[attr-defined]
            if begin != MAGIC:
                what = "is empty" if not begin else "is no file of metrics"
                raise UsageError(f"{shown(path)}: {what}; --metrics of a stage writes one")
            while line := file.readline(_TAIL):
                with suppress(ValueError):
                    fields = typed_json.parse(line)
                    if isinstance(fields, dict) and isinstance(fields.get("event"), str):
                        yield fields
    except OSError as e:
        raise UsageError(f"{shown(path)}: can't be read: {e.strerror}") from e


def dumped(event: str, fields: dict[str, Any]) -> str:
    return json.dumps({"event": event, **fields}) + "\n"
