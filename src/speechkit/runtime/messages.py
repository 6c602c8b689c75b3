"""The messages between the runner and its worker processes."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from speechkit.engines.protocols import DeviceUse
from speechkit.errors import SpeechkitError
from speechkit.io import manifest
from speechkit.records import Record, Utterance

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)  # end a run; workers ignore them
STACKS_SIGNAL = signal.SIGUSR2  # asks a worker for the stacks of all its threads


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker's engine is built."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker's engine can't be built, or what it makes can't be written."""

    error: SpeechkitError
    traceback: str


# Sent by the thousand: frozen dataclasses are pickled by Python, these by C.
@dataclass(slots=True)
class Begun:
    """The worker now works on these utterances, known to hold so many seconds of audio."""

    indices: tuple[int, ...]
    seconds: float


@dataclass(slots=True)
class Outcome:
    """What became of one utterance: its output lines, and the error's type if it failed."""

    index: int
    lines: tuple[str, ...]
    seconds: float
    error: str | None = None
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class BatchDone:
    """The worker has answered for every utterance of its oldest batch."""

    use: DeviceUse | None = None


Message = Ready | Failed | Begun | Outcome | BatchDone


def error_outcome(
    utterance: Utterance, error: BaseException, extra: Record, traceback: str = ""
) -> Outcome:
    """The outcome of an utterance that failed: its record, ``extra`` keys, and the reason."""
    kind = type(error).__name__
    message = str(error) or kind
    record = {**utterance.record, **extra, "error": {"type": kind, "message": message}}
    return Outcome(utterance.index, (manifest.dump(record),), 0.0, kind, traceback)
