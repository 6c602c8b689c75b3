"""Messages from worker processes to the runner, and the signals between them."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from speechkit.engines.protocols import DeviceUse
from speechkit.errors import ResultTooLong, SpeechkitError
from speechkit.io import manifest
from speechkit.io.json_lines import MOST_BYTES
from speechkit.records import Division, Record, TaskKey, Utterance
from speechkit.runtime.stage import Processor

DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)  # end a run; workers ignore them
STACKS_SIGNAL = signal.SIGUSR2  # a worker answers it with the stacks of all its threads


@dataclass(frozen=True, slots=True)
class Setup:
    """The stage of the batches that follow: the first message to a worker, after its `LogSettings`.

    ``loaders``: as in `stage.WorkerPlan`. ``traced``: it tells what the time of each utterance goes
    to. Both are those of the first message in all later ones.
    """

    processor: Processor
    error_keys: Record
    loaders: int
    traced: bool


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

    keys: tuple[TaskKey, ...]
    seconds: float


@dataclass(slots=True)
class Divided:
    """The worker has divided a long utterance, whose parts are tasks of their own."""

    index: int
    division: Division
    timings: tuple[float, ...] | None = None

    @property
    def key(self) -> TaskKey:
        return self.index, None


@dataclass(slots=True)
class Outcome:
    """The result of one utterance: its output lines and, if it failed, the type of the error.

    ``part``: it is that of a part, and its only line the result of the part. ``timings``: as in
    `trace.Timings`, if they were asked for. ``data``: of a `stage.Payload`.
    """

    index: int
    lines: tuple[str, ...]
    seconds: float
    error: str | None = None
    traceback: str = ""
    part: int | None = None
    timings: tuple[float, ...] | None = None
    data: bytes = b""

    @property
    def key(self) -> TaskKey:
        return self.index, self.part


@dataclass(frozen=True, slots=True)
class BatchDone:
    """The worker has sent the outcome of every utterance of its oldest batch.

    ``device_memory``: bytes that it holds on a device, None without one.
    """

    use: DeviceUse | None = None
    device_memory: int | None = None


Message = Ready | Failed | Begun | Divided | Outcome | BatchDone


def success_outcome(utterance: Utterance, records: Sequence[Record], seconds: float) -> Outcome:
    """Return the outcome of a computed utterance or part. Raises `ResultTooLong`."""
    lines = tuple(map(manifest.dump, records))
    longest = max((len(line.encode()) for line in lines), default=0)
    if longest > MOST_BYTES:
        raise ResultTooLong(
            f"its line would have {longest >> 20} MiB, and stages read {MOST_BYTES >> 20} MiB at "
            "most; cut the recording into utterances (vad --emit segments)"
        )
    return Outcome(utterance.index, lines, seconds, part=utterance.key[1])


def error_outcome(
    utterance: Utterance, error: BaseException, extra: Record, traceback: str = ""
) -> Outcome:
    """Return the outcome of a failed utterance: its record with ``extra`` keys and the error."""
    kind = type(error).__name__
    message = str(error) or kind
    record = {**utterance.record, **extra, "error": {"type": kind, "message": message}}
    lines = (manifest.dump(record),)
    return Outcome(utterance.index, lines, 0.0, kind, traceback, utterance.key[1])
