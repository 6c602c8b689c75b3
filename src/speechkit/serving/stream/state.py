"""What a live session has to know to go on where it was."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.records import Word
from speechkit.stages.vad.speech_frames import WARM_UP

SLACK = 0.1  # seconds, for what was rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """The state of a `LiveSession` after a feed; samples and seconds of the stream.

    ``heard``: samples so far. ``anchor``: the sample at which the VAD has begun anew, and ``peak``
    the audio's until then. ``begin``: the sample at which the clip for the recogniser begins; None
    before there is speech. ``ended``: all words of the speech up to here are final. ``settled``:
    finals and gaps cover the audio up to here. ``said``: the final words in the clip, with their
    tokens; ``previous``: those of the last hypothesis that were not final. ``language``: of the
    stream, once it is known.
    """

    heard: int = 0
    anchor: int = 0
    peak: float = 0.0
    begin: int | None = None
    ended: float = 0.0
    settled: float = 0.0
    said: tuple[Word, ...] = ()
    previous: tuple[Word, ...] = ()
    language: str | None = None

    def require_possible(self) -> None:
        """Raise ValueError for a state that no session reaches."""
        words = (*self.said, *self.previous)
        times = [self.ended, self.settled, *(t for word in words for t in (word.start, word.end))]
        if max(self.anchor, self.begin or 0) > self.heard:
            raise ValueError("goes on behind the audio that was heard")
        if max(times) > self.heard / SAMPLE_RATE + SLACK:
            raise ValueError("knows more than the audio that was heard")
        "".join(spelt.text for word in words for spelt in (word, *word.chars)).encode()

    @property
    def replay_from(self) -> int:
        """The sample from which `LiveSession.replay` needs the audio, up to ``heard``."""
        return max(0, self.anchor - round(WARM_UP * SAMPLE_RATE))
