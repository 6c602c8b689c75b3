"""The closing account of a stream."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from speechkit.errors import SourceFailed
from speechkit.io.hardware import peak_memory
from speechkit.runtime.summary import device_account, versions
from speechkit.serving.stream.events import End, Event, Final, Gap
from speechkit.serving.stream.times import Times

if TYPE_CHECKING:
    from speechkit.serving.stream.hearing import Hearing


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSummary:
    """The closing account of a stream. Times and audio in seconds, memory in bytes.

    ``audio_seconds``: from the beginning of the stream, ``resumed_seconds`` of them heard by an
    earlier run. ``finals``, ``words``, ``gaps`` (seconds by reason) and ``flags`` (finals by flag)
    are of the whole stream; all that follows is of this run. ``first_result_seconds``: from its
    start to its first final. ``real_time_factor``: computing, in seconds a second of audio.
    ``clock``: ``wall``, or ``audio`` where the stream's clock shows the time of the audio, so that
    computing takes no time on it. ``latency``: of words, from their end in the audio to their
    final; ``behind``: from the end of the audio that a step has heard to the end of the step; both
    by that clock. ``error``: why the source broke off.
    """

    stage: str = "stream"
    source: str
    output: str | None
    audio_seconds: float
    resumed_seconds: float
    finals: int
    words: int
    gaps: dict[str, float]
    flags: dict[str, int]
    wall_seconds: float
    first_result_seconds: float | None
    real_time_factor: float | None
    clock: str
    latency: dict[str, float | None]
    behind: dict[str, float | None]
    peak_memory: int
    device: dict[str, Any] | None
    options: dict[str, Any]
    versions: dict[str, str]
    error: str | None = None

    @property
    def exit_code(self) -> int:
        return 1 if self.error else 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "exit_code": self.exit_code}


class Account:
    """Counts what a stream says, and times what this run makes of it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seconds = 0.0  # of audio, up to the last event
        self._resumed = 0.0  # of them
        self._finals = self._words = 0
        self._gaps: dict[str, float] = {}
        self._flags: Counter[str] = Counter()
        self._error: str | None = None
        self._latency = Times()
        self._first_final: float | None = None  # seconds after it began

    def recall(self, event: Event) -> None:
        """Count what an earlier run has said."""
        self._count(event)
        self._resumed = self._seconds

    def take(self, event: Event) -> None:
        """Count what this run says."""
        self._count(event)
        if isinstance(event, Final):
            self._first_final = self._first_final or round(time.monotonic() - self._began, 3)
            for word in event.words:
                self._latency.add(event.emitted - word.end)

    def _count(self, event: Event) -> None:
        if isinstance(event, Final):
            self._seconds = event.end
            self._finals += 1
            self._words += len(event.words)
            self._flags.update(event.flags)
        elif isinstance(event, Gap):
            self._seconds = event.end
            seconds = self._gaps.get(event.reason, 0.0) + event.end - event.start
            self._gaps[event.reason] = round(seconds, 3)
        elif isinstance(event, End):
            self._seconds, self._error = event.seconds, event.error

    def errors(self) -> dict[str, dict[str, int]]:
        """What the record of the output keeps: errors by type and flags by name."""
        errors = {SourceFailed.__name__: 1} if self._error else {}
        return {"errors": errors, "flags": dict(self._flags)}

    def summary(self, source: str, output: str | None, hearing: Hearing) -> StreamSummary:
        wall = time.monotonic() - self._began
        heard = self._seconds - self._resumed
        return StreamSummary(
            source=source,
            output=output,
            audio_seconds=round(self._seconds, 3),
            resumed_seconds=round(self._resumed, 3),
            finals=self._finals,
            words=self._words,
            gaps=self._gaps,
            flags=dict(self._flags),
            wall_seconds=round(wall, 3),
            first_result_seconds=self._first_final,
            real_time_factor=round(hearing.computed / heard, 6) if heard else None,
            clock=hearing.listener.clock_name,
            latency=self._latency.to_json(),
            behind=hearing.behind.to_json(),
            peak_memory=peak_memory(),
            device=device_account([hearing.device] if hearing.device else [], wall),
            options=hearing.listener.pinned,
            versions=versions(hearing.listener.engines.packages),
            error=self._error,
        )
