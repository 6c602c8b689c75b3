"""Messages on stderr, as text or as JSON: one object a line, and one write() a line.

A log record names its event and gives its numbers by ``extra``:

    log.info("worker %d is ready", number, extra={"event": "worker_ready", "worker": number})

Everything else on stderr (`say`) becomes such an object as well.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechkit.io.file_names import harmless

STDERR = 2
FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
ROOT = "speechkit"
_SOURCE = Path(__file__).parents[1]
_OF_A_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "event"}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """``levels``: by the name of a module of speechkit (``runtime.pool``), "" for all others.
    ``places``: what every object says of its process, such as its stage."""

    form: str = "text"
    levels: Mapping[str, str] = field(default_factory=lambda: {"": "warning"})
    places: Mapping[str, Any] = field(default_factory=dict)

    @property
    def as_json(self) -> bool:
        return self.form == "json"

    def of_worker(self, number: int) -> LogSettings:
        return replace(self, places={**self.places, "worker": number})


class _Process:
    """This one."""

    settings = LogSettings()
    about = threading.local()


def settings() -> LogSettings:
    """Those of this process."""
    return _Process.settings


def configure(new: LogSettings) -> None:
    """Log to stderr from now on, what libraries log as well, from level warning on."""
    _Process.settings = new
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Stderr)]:
        root.removeHandler(handler)
    handler = _Stderr()
    handler.setFormatter(_JsonFormatter() if new.as_json else _TextFormatter())
    root.addHandler(handler)
    logging.captureWarnings(new.as_json)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith(f"{ROOT}.")]:
        logging.getLogger(name).setLevel(logging.NOTSET)
    for name, level in new.levels.items():
        logging.getLogger(f"{ROOT}.{name}" if name else ROOT).setLevel(level.upper())


def parse_levels(text: str) -> dict[str, str]:
    """The levels of ``info,runtime.pool=debug``. Raise ValueError with the word that is wrong."""
    levels = {"": "warning"}
    for word in text.split(","):
        name, equals, level = word.strip().rpartition("=")
        if level.lower() not in LEVELS:
            raise ValueError(f"{level!r} is none of {', '.join(LEVELS)}")
        name = name.strip().removeprefix(f"{ROOT}.")
        if equals and not _is_module(name):
            raise ValueError(f"speechkit has no module {name!r}")
        levels[name] = level.lower()
    return levels


def _is_module(name: str) -> bool:
    parts = name.split(".")
    place = _SOURCE.joinpath(*parts)
    return all(map(str.isidentifier, parts)) and (
        place.is_dir() or place.with_suffix(".py").exists()
    )


def say(text: str, event: str = "message", level: str = "info", **numbers: Any) -> None:
    """Print a message on stderr whatever the levels, with control characters escaped.

    ``numbers`` belong to an object of JSON alone. A signal may interrupt it: it takes no lock.
    Where stderr can't be written, the message is lost and the run goes on.
    """
    line = harmless(text) + "\n"
    if _Process.settings.as_json:
        line = _line(time.time(), level, ROOT, event, text, numbers)
    with suppress(OSError):
        write(line)


def write(line: str) -> None:
    os.write(STDERR, line.encode("utf-8", "backslashreplace"))


def foreign_line(text: str, places: Mapping[str, Any]) -> str:
    """What a process of ours has written on stderr that is no log record, as an object."""
    return _line(time.time(), "warning", "stderr", "output", text, {}, places)


@contextmanager
def about(index: int, name: str) -> Iterator[None]:
    """Messages of this thread concern an utterance, by its index and name."""
    about = _Process.about
    before = getattr(about, "utterance", None)
    about.utterance = {"index": index, "name": name}
    try:
        yield
    finally:
        about.utterance = before


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            write(self.format(record) + "\n" * (not _Process.settings.as_json))
        except OSError:  # nobody reads it any more, or the disk is full
            pass
        except Exception:
            self.handleError(record)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        numbers = {key: value for key, value in vars(record).items() if key not in _OF_A_RECORD}
        if record.exc_info:
            numbers["traceback"] = self.formatException(record.exc_info)
        event = getattr(record, "event", "message")
        level, message = record.levelname.lower(), record.getMessage()
        return _line(record.created, level, record.name, event, message, numbers)


def _line(
    seconds: float,
    level: str,
    logger: str,
    event: str,
    message: str,
    numbers: Mapping[str, Any],
    places: Mapping[str, Any] | None = None,
) -> str:
    known = {"pid": os.getpid(), **_Process.settings.places} if places is None else places
    utterance = getattr(_Process.about, "utterance", None)
    fields = {
        "time": iso_time(seconds),
        "level": level,
        "logger": logger,
        **known,
        **({"utterance": utterance} if utterance else {}),
        "event": event,
        "message": message,
        **numbers,
    }
    return json.dumps(fields, default=str) + "\n"  # in ASCII: harmless to any terminal


def iso_time(seconds: float) -> str:
    """Seconds since 1970 in ISO 8601, UTC, with milliseconds."""
    milliseconds = round(seconds * 1000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{whole}.{milliseconds % 1000:03}Z"
