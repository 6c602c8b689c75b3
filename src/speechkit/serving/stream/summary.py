"""The closing account of a stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from speechkit.serving.stream.events import End, Event, Final, Gap


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


class Tally:
    """Counts of all that a stream has said for good."""

    def __init__(self) -> None:
        self.seconds = 0.0  # of audio, up to the last event
        self.finals = self.words = 0
        self.gaps: dict[str, float] = {}
        self.flags: Counter[str] = Counter()
        self.error: str | None = None

    def count(self, event: Event) -> None:
        if isinstance(event, Final):
            self.seconds = event.end
            self.finals += 1
            self.words += len(event.words)
            self.flags.update(event.flags)
        elif isinstance(event, Gap):
            self.seconds = event.end
            before = self.gaps.get(event.reason, 0.0)
            self.gaps[event.reason] = before + event.end - event.start
        elif isinstance(event, End):
            self.seconds, self.error = event.seconds, event.error
