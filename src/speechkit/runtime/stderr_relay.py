"""What a worker writes on stderr, passed on line by line by the process that started it.

Only with `--log-format json`: there every line is an object, and one process writes all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from typing import Any

from speechkit.runtime import logs

END_SECONDS = 1.0  # time limit for the rest of a worker's lines; a process of its own may hold them
MOST_BYTES = 1 << 20  # of a line; what is longer becomes several


class StderrRelay:
    """Reads ``pipe`` to its end, in a thread. ``places``: of lines that are no log records."""

    def __init__(self, pipe: int, places: Mapping[str, Any]) -> None:
        self._pipe = os.fdopen(pipe, "rb")
        self._places = places
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._pipe:
            while line := self._pipe.readline(MOST_BYTES):
                with contextlib.suppress(OSError):  # nobody reads it any more
                    logs.write(self._as_object(line))

    def _as_object(self, line: bytes) -> str:
        text = line.decode(errors="replace").rstrip("\n")
        with contextlib.suppress(ValueError):
            if text.startswith('{"time": ') and isinstance(json.loads(text), dict):
                return text + "\n"
        return logs.foreign_line(text, self._places)

    def finish(self) -> None:
        self._thread.join(END_SECONDS)
