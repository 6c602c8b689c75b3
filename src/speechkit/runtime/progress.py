"""Progress of a run, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run under way.

    ``done`` of ``total`` utterances have an answer, ``resumed`` of them from an earlier run;
    ``failed`` have an error. ``audio_seconds``: audio answered by this run. ``elapsed`` and
    ``remaining`` are seconds of wall time, ``remaining`` None before the first answer.
    """

    stage: str
    total: int
    done: int
    resumed: int
    failed: int
    audio_seconds: float
    elapsed: float
    remaining: float | None


Listener = Callable[[Progress], None]


class Meter:
    """Counts the answers of a run and tells a listener after each.

    ``seconds`` is the audio of all utterances, None where it is unknown: the remaining time then
    goes by the number of utterances.
    """

    def __init__(
        self, stage: str, utterances: int, seconds: float | None, listener: Listener | None
    ) -> None:
        self._stage = stage
        self._total = utterances
        self._seconds = seconds
        self._listener = listener
        self._done = self._resumed = self._failed = 0
        self._resumed_seconds = self._audio = 0.0
        self._started = time.monotonic()
        self._tell()

    def skip(self, seconds: float) -> None:
        """Counts an utterance that an earlier run has answered, and its audio."""
        self._done += 1
        self._resumed += 1
        self._resumed_seconds += seconds

    def advance(self, *, seconds: float, failed: bool) -> None:
        """Counts an answer, and its audio."""
        self._done += 1
        self._audio += seconds
        self._failed += failed
        self._tell()

    def _tell(self) -> None:
        if self._listener is None:
            return
        elapsed = time.monotonic() - self._started
        progress = Progress(
            stage=self._stage,
            total=self._total,
            done=self._done,
            resumed=self._resumed,
            failed=self._failed,
            audio_seconds=self._audio,
            elapsed=elapsed,
            remaining=self._remaining(elapsed),
        )
        self._listener(progress)

    def _remaining(self, elapsed: float) -> float | None:
        answered = self._done - self._resumed
        if not answered:
            return None
        if self._seconds is not None and self._audio:
            left = max(0.0, self._seconds - self._resumed_seconds - self._audio)
            return left * elapsed / self._audio
        return (self._total - self._done) * elapsed / answered
