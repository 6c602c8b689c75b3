"""Messages from worker processes to the runner, and the signals between them."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from speechkit.engines.protocols import DeviceUse
from speechkit.errors import SpeechkitError
from speechkit.io import manifest
from speechkit.records import Record, Utterance

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)  # end a run; workers ignore them
STACKS_SIGNAL = signal.SIGUSR2  # a worker answers it with the stacks of all its threads


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker's engine is built."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker's engine can't be built, or its output can't be written."""

    error: SpeechkitError
    traceback: str


# Not frozen, because they are sent by the thousand: C pickles them, Python pickles frozen ones.
@dataclass(slots=True)
class Begun:
    """The worker has begun these utterances, with ``seconds`` of audio as far as it is known."""

    indices: tuple[int, ...]
    seconds: float


@dataclass(slots=True)
class Outcome:
    """The result of one utterance: its output lines and, if it failed, the type of the error."""

    index: int
    lines: tuple[str, ...]
    seconds: float
    error: str | None = None
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class BatchDone:
    """The worker has sent the outcome of every utterance of its oldest batch."""

    use: DeviceUse | None = None


Message = Ready | Failed | Begun | Outcome | BatchDone


def error_outcome(
    utterance: Utterance, error: BaseException, extra: Record, traceback: str = ""
) -> Outcome:
    """Return the outcome of a failed utterance: its record with ``extra`` keys and the error."""
    kind = type(error).__name__
    message = str(error) or kind
    record = {**utterance.record, **extra, "error": {"type": kind, "message": message}}
    return Outcome(utterance.index, (manifest.dump(record),), 0.0, kind, traceback)
