"""The transcription of a recording in parts that fit into memory, cut at pauses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.records import Segment
from speechkit.stages.asr.recognition import Recognition
from speechkit.stages.asr.speaker_turns import NO_TURNS, Turns
from speechkit.stages.asr.windows import Span, cut_at_pauses
from speechkit.stages.vad.speech_frames import peak_of, raised

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform
    from speechkit.io.audio import Audio

LOOK = 80.0  # seconds at the end of a stretch in which a cut is sought
CUT_BY = 60.0  # first seconds of those, which the cut must lie in


@dataclass(frozen=True, slots=True)
class Part:
    """The transcript of a part; ``start`` in seconds of the recording, other times from there."""

    start: float
    text: str
    segments: tuple[Segment, ...]
    gaps: tuple[Span, ...]


class Parts:
    """While `advance` returns True, `begin` decoding the audio it has read, and `keep` the results.

    ``given_speech``: speech from an earlier stage, in seconds of the recording; None to decode
    everything. ``turns``: its segments with keys to carry over. ``languages``: number of words by
    language.
    """

    def __init__(
        self,
        recording: Audio,
        given_speech: Sequence[Span] | None,
        turns: Turns = NO_TURNS,
        *,
        apart: bool,
    ) -> None:
        self.heard: list[Part] = []
        self.languages: Counter[str] = Counter()
        self._given_speech = given_speech
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
        """Read the next stretch, after the rest of the one before. Return False at the end."""
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
        """The audio read so far, at a loudness for the VAD."""
        return raised(self._waveform, self._peak)

    @property
    def seconds(self) -> float:
        return len(self._waveform) / SAMPLE_RATE

    def begin(self, judged: Sequence[Span]) -> Recognition:
        """Begin a part of the audio read so far; at the end of the recording, all of it.

        ``judged``: speech that asr's VAD hears in the audio.
        """
        start = self._start / SAMPLE_RATE
        given_speech = self._given_speech
        if given_speech is not None:
            given_speech = [(first - start, last - start) for first, last in given_speech]
        end = self.seconds
        if self._left:
            look = (max(0.0, end - LOOK), end)
            speech = judged if given_speech is None else given_speech
            end = cut_at_pauses(self._waveform, SAMPLE_RATE, look, CUT_BY, speech)[0][1]
        samples = round(end * SAMPLE_RATE)
        part, self._waveform = self._waveform[:samples], self._waveform[samples:]
        self._start += samples
        judged = [(first, min(last, end)) for first, last in judged if first < end]
        language = None if self._apart else self.language
        return Recognition(part, given_speech, judged, language, self._turns.since(start))

    def keep(self, recognition: Recognition) -> None:
        transcript = recognition.transcript
        # Later stages need segments in order of time, even if an engine invents times.
        segments = sorted(recognition.segments(), key=lambda segment: segment.start)
        self.languages += transcript.languages
        self.heard.append(
            Part(
                self._start / SAMPLE_RATE - recognition.seconds,
                transcript.text,
                tuple(segments),
                tuple(transcript.unheard()),
            )
        )
