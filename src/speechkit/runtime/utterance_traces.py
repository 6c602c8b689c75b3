"""What the time of each utterance goes to: from being given to a worker until its line is written.

A worker measures what it does (`trace`); what is before and after it is measured here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted  # the C function of json.dumps

from speechkit.io import manifest
from speechkit.records import TaskKey, Utterance
from speechkit.runtime.messages import Divided, Outcome
from speechkit.runtime.trace import Timings

_LINE = (
    '{"event": "trace", "time": %.3f, "index": %d, %s"name": %s, "worker": %d, "batch": %d, '
    '"audio_seconds": %.3f, "wall": %.6f, "queue": %.6f, "audio": %.6f, "vad": %.6f, '
    '"compute": %.6f, "lost": %.6f, "write": %.6f, "busy": %.6f, "error": %s}\n'
)
_NOT_KNOWN = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class _Given:
    """An utterance that a worker has, since ``time`` (`time.monotonic`)."""

    time: float
    worker: int
    batch: int


@dataclass(slots=True)
class _Answered:
    """``timings``: None where the worker has died, over its work since ``lost``. ``divided``: the
    number of its parts."""

    given: _Given
    utterance: Utterance
    timings: Timings | None
    seconds: float = 0.0
    error: str | None = None
    divided: int = 0
    lost: float = 0.0


class UtteranceTraces:
    """The utterances that workers have, and those that are answered and not written yet.

    ``engine_seconds``: of all workers so far.
    """

    def __init__(self) -> None:
        self.engine_seconds = 0.0
        self._since_1970 = time.time() - time.monotonic()
        self._given: dict[TaskKey, _Given] = {}
        self._again: dict[
            TaskKey, float
        ] = {}  # since when they have waited, for no fault of theirs
        self._begun: dict[int, tuple[Sequence[TaskKey], float]] = {}  # by worker
        self._answered: list[_Answered] = []
        self._batches = 0

    @property
    def in_workers(self) -> int:
        return len(self._given)

    def given(self, worker: int, batch: Sequence[Utterance]) -> None:
        self._batches += 1
        now = time.monotonic()
        given = _Given(now, worker, self._batches)
        for utterance in batch:
            since = self._again.pop(utterance.key, now) if self._again else now
            one = given if since == now else _Given(since, worker, self._batches)
            self._given[utterance.key] = one

    def begun(self, worker: int, keys: Sequence[TaskKey]) -> None:
        """A worker has begun these utterances; it says so again as it learns their length."""
        if self._begun.get(worker, ((), 0.0))[0] != keys:
            self._begun[worker] = keys, time.monotonic()

    def answered(self, utterance: Utterance, message: Outcome | Divided) -> None:
        given = self._given.pop(utterance.key)
        timings = Timings(*message.timings) if message.timings else None
        if timings:
            self.engine_seconds += timings.busy
        answered = _Answered(given, utterance, timings)
        if isinstance(message, Divided):
            answered.divided = message.division.parts
        else:
            answered.seconds, answered.error = message.seconds, message.error
        self._answered.append(answered)

    def lost(self, worker: int, suspects: Sequence[Utterance], error: str | None) -> None:
        """A worker has died over these utterances; the others that it had are given again.

        ``error``: None if these are given again, too.
        """
        _, begun = self._begun.pop(worker, ((), time.monotonic()))
        for utterance in suspects:
            given = self._given.pop(utterance.key)
            since = max(begun, given.time)
            self._answered.append(_Answered(given, utterance, None, error=error, lost=since))
        for key in [key for key, given in self._given.items() if given.worker == worker]:
            self._again[key] = self._given.pop(key).time

    def forget(self) -> None:
        """Nobody wants the lines."""
        self._answered.clear()

    def written(self) -> str:
        """The lines of all that were answered, whose results are written now."""
        now = time.monotonic()
        lines = [self._line(answered, now) for answered in self._answered]
        self._answered.clear()
        return "".join(lines)

    def _line(self, answered: _Answered, now: float) -> str:
        given, utterance = answered.given, answered.utterance
        timings = answered.timings or Timings(answered.lost, *_NOT_KNOWN)
        lost = 0.0 if answered.timings else now - answered.lost
        part = f'"part": {utterance.part.number}, ' if utterance.part else ""
        if answered.divided:
            part = f'"divided": {answered.divided}, '
        return _LINE % (
            given.time + self._since_1970,
            utterance.index,
            part,
            quoted(manifest.name(utterance.record)),
            given.worker,
            given.batch,
            answered.seconds,
            now - given.time,
            timings.start - given.time + timings.queue,
            timings.audio,
            timings.vad,
            timings.compute,
            lost,
            max(0.0, now - timings.end - lost),
            timings.busy,
            quoted(answered.error) if answered.error else "null",
        )
