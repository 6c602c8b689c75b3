"""What an utterance's time in a worker goes to: every moment of it belongs to one part.

- ``queue``: waiting, for a loader thread, for the engine, or for the others of its batch
- ``audio``: reading and decoding its audio, and whatever else `Processor.load` does
- ``vad``: finding speech in it, where a stage does this besides its own work
- ``compute``: in the engine, from the beginning of its batch to its own answer
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

from speechkit.records import TaskKey

PARTS = ("queue", "audio", "vad", "compute")
QUEUE, AUDIO, VAD, COMPUTE = range(4)
_of_this_thread = threading.local()


class Timings(NamedTuple):
    """Seconds of each part, after ``start`` on the clock of all processes (`time.monotonic`).

    ``busy``: seconds of the engine since the answer before it, in the same batch. Each second of a
    worker's engine belongs to one utterance's ``busy``.
    """

    start: float
    queue: float
    audio: float
    vad: float
    compute: float
    busy: float

    @property
    def end(self) -> float:
        return self.start + self.queue + self.audio + self.vad + self.compute


class Clock:
    """The parts of one utterance's time so far, and the part that it is in."""

    __slots__ = ("part", "seconds", "since", "start")

    def __init__(self) -> None:
        self.start = self.since = time.monotonic()
        self.part = QUEUE
        self.seconds = [0.0, 0.0, 0.0, 0.0]

    def enter(self, part: int) -> None:
        now = time.monotonic()
        self.seconds[self.part] += now - self.since
        self.since, self.part = now, part


class _Loading:
    """No generator: it is entered for every utterance."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        self._clock.enter(AUDIO)
        _of_this_thread.clock = self._clock

    def __exit__(self, *_: object) -> None:
        _of_this_thread.clock = None
        self._clock.enter(QUEUE)


class Trace:
    """The clocks of a worker's utterances. Several threads use it, each for utterances of its own.

    It takes note of nothing unless it is ``on``.
    """

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._clocks: dict[TaskKey, Clock] = {}
        self._answered = 0.0  # when the engine began, or gave its last answer

    def begin(self, keys: Iterable[TaskKey]) -> None:
        if self._on:
            self._clocks.update((key, Clock()) for key in keys)

    def loading(self, key: TaskKey) -> AbstractContextManager[None]:
        """Inside, this thread loads an utterance."""
        clock = self._clocks.get(key)
        return nullcontext() if clock is None else _Loading(clock)

    def computing(self, keys: Iterable[TaskKey]) -> None:
        """The engine begins with these utterances."""
        self._enter(keys, COMPUTE)
        self._answered = time.monotonic()

    def waiting(self, keys: Iterable[TaskKey]) -> None:
        """The engine has left these utterances for later."""
        self._enter(keys, QUEUE)

    def _enter(self, keys: Iterable[TaskKey], part: int) -> None:
        if self._on:
            for key in keys:
                self._clocks[key].enter(part)

    def take(self, key: TaskKey) -> tuple[float, ...] | None:
        """The `Timings` of an utterance that is answered, as a plain tuple; None if it is off."""
        clock = self._clocks.pop(key, None)
        if clock is None:
            return None
        computed = clock.part == COMPUTE
        clock.enter(QUEUE)
        busy = clock.since - self._answered if computed else 0.0
        self._answered = clock.since
        return (clock.start, *clock.seconds, busy)


@contextmanager
def vad() -> Iterator[None]:
    """Inside, speech is found in the utterance that this thread loads, if it loads any."""
    clock = getattr(_of_this_thread, "clock", None)
    if clock is None:
        yield
        return
    clock.enter(VAD)
    try:
        yield
    finally:
        clock.enter(AUDIO)
