"""A recording on its way through recognition: in parts that fit the memory, cut at pauses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.records import Segment
from speechkit.stages.asr.recognition import Listening
from speechkit.stages.asr.speaker_turns import NO_TURNS, Turns
from speechkit.stages.asr.windows import Span, cut
from speechkit.stages.vad.speech_frames import peak_of, raised

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform
    from speechkit.io.audio import Audio

LOOK, CUT_BY = 80.0, 60.0  # seconds at the end of a stretch, and of those where it is cut


@dataclass(frozen=True, slots=True)
class Part:
    """What was heard in a part that begins ``start`` seconds into the recording, in its time."""

    start: float
    text: str
    segments: tuple[Segment, ...]
    gaps: tuple[Span, ...]


class Parts:
    """While `advance` returns True, `begin` decoding the audio it has read, and `keep` the results.

    ``told``: the speech that an earlier stage has found, in seconds of the recording; None: all is
    decoded. ``turns``: those of its segments that carry keys. ``languages`` counts words.
    """

    def __init__(
        self,
        recording: Audio,
        told: Sequence[Span] | None,
        turns: Turns = NO_TURNS,
        *,
        apart: bool,
    ) -> None:
        self.heard: list[Part] = []
        self.languages: Counter[str] = Counter()
        self._told = told
        self._turns = turns
        self._apart = apart
        self._stretches = recording.stretches()
        self._left = recording.samples
        self._waveform: Waveform = np.zeros(0, np.float32)
        self._start = 0  # samples, of the waveform in the recording
        self._peak = 0.0

    @property
    def language(self) -> str | None:
        most = self.languages.most_common(1)
        return most[0][0] if most else None

    def advance(self) -> bool:
        """Reads on: the next stretch, after what was cut off the one before."""
        stretch = next(self._stretches, None)
        if stretch is None:
            return False
        self._left -= len(stretch)
        self._peak = max(self._peak, peak_of(stretch))
        rest = self._waveform
        self._waveform = np.concatenate((rest, stretch)) if len(rest) else stretch
        return True

    @property
    def raised(self) -> Waveform:
        """What was read, as loud as a VAD wants it."""
        return raised(self._waveform, self._peak)

    @property
    def seconds(self) -> float:
        return len(self._waveform) / SAMPLE_RATE

    def begin(self, judged: Sequence[Span]) -> Listening:
        """A part of what was read, all of it at the recording's end. ``judged``: where our own VAD
        hears speech in it."""
        start = self._start / SAMPLE_RATE
        told = self._told
        if told is not None:
            told = [(first - start, last - start) for first, last in told]
        end = self.seconds
        if self._left:
            look = (max(0.0, end - LOOK), end)
            speech = judged if told is None else told
            end = cut(self._waveform, SAMPLE_RATE, look, CUT_BY, speech)[0][1]
        samples = round(end * SAMPLE_RATE)
        part, self._waveform = self._waveform[:samples], self._waveform[samples:]
        self._start += samples
        judged = [(first, min(last, end)) for first, last in judged if first < end]
        language = None if self._apart else self.language
        return Listening(part, told, judged, language, self._turns.since(start))

    def keep(self, listening: Listening) -> None:
        transcript = listening.transcript
        # Whatever times an engine has made up: later stages take segments in order of time alone.
        segments = sorted(listening.segments(), key=lambda one: one.start)
        self.languages += transcript.languages
        self.heard.append(
            Part(
                self._start / SAMPLE_RATE - listening.seconds,
                transcript.text,
                tuple(segments),
                tuple(transcript.unheard()),
            )
        )
