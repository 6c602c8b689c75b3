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

FORMAT = 1
MAGIC = b'{"event": "run", "metrics": '  # the beginning of every file
_TAIL = 1 << 20  # bytes, longer than any line

log = logging.getLogger(__name__)


class MetricsFile:
    """Opens the file, creates it or continues it.

    Raise `OutputConflict` for a file of something else and where another run writes it, and
    `OutputFailed`. Later failures end the metrics, with one warning, and not the run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
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
                    f"{shown(self._path)}: another run is writing its metrics there; name another "
                    "file"
                ) from e

    def _mend(self) -> None:
        """Drop a line without an end."""
        with safe_open.open_regular(self._path) as file:
            begin = file.read(len(MAGIC))
            if begin and not MAGIC.startswith(begin):
                raise OutputConflict(
                    f"{shown(self._path)}: is no file of metrics and is not appended to; name "
                    "another file"
                )
            size = file.seek(0, os.SEEK_END)
            tail_start = file.seek(max(0, size - _TAIL))
            whole = file.read().rfind(b"\n") + 1
        if tail_start + whole < size:
            self._file.truncate(tail_start + whole)

    def write(self, lines: str) -> None:
        """Append whole lines, by one write()."""
        data = lines.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._file is None:
                return
            try:
                written = os.write(self._file.fileno(), data)
                if written == len(data):
                    return
                reason = os.strerror(errno.ENOSPC)
            except OSError as e:
                reason = str(e.strerror)
            self._close()
        log.warning(
            "%s: can't be written: %s; the run goes on without metrics",
            shown(self._path),
            reason,
            extra={"event": "metrics_dropped"},
        )

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._close()

    def _close(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._file = None


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
