"""Progress of a run, for a listener that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a run.

    ``done`` of ``total`` utterances have a result or an error, ``resumed`` of them from an earlier
    run; ``failed`` have an error. ``audio_seconds``: audio done by this run. ``elapsed`` and
    ``remaining``: seconds of wall time; ``remaining`` is None until it can be told.
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
    """Counts the utterances done and calls a listener after each.

    ``seconds``: the audio of all utterances. If it is None, the remaining time is estimated from
    the number of utterances.
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
        self._report()

    def skip(self, seconds: float) -> None:
        """Count an utterance done by an earlier run, and its audio."""
        self._done += 1
        self._resumed += 1
        self._resumed_seconds += seconds

    def skip_part(self, seconds: float) -> None:
        """Count the audio of a part of an utterance done by an earlier run."""
        self._resumed_seconds += seconds

    def advance_part(self, seconds: float) -> None:
        """Count the audio of a part of an utterance done by this run."""
        self._audio += seconds
        self._report()

    def advance(self, *, seconds: float, failed: bool) -> None:
        """Count an utterance done by this run, and its audio that no part has counted."""
        self._done += 1
        self._audio += seconds
        self._failed += failed
        self._report()

    def _report(self) -> None:
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
        if self._seconds is not None and self._audio:
            left = max(0.0, self._seconds - self._resumed_seconds - self._audio)
            return left * elapsed / self._audio
        answered = self._done - self._resumed
        if not answered:
            return None
        return (self._total - self._done) * elapsed / answered
