"""The VAD that tells which stretches of audio must give words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE, VadEngine
from speechkit.stages.asr.windows import Span
from speechkit.stages.vad.segmentation import DEFAULTS, speech_segments
from speechkit.stages.vad.speech_frames import raised

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

ENGINE = "silero"  # takes less than 1 % of the time of recognition, and works in many threads


class Judge:
    """Finds speech; can be called from several threads."""

    def __init__(self) -> None:
        self._vad: VadEngine = registry.create("vad", ENGINE)

    def speech(self, waveform: Waveform, peak: float) -> list[Span]:
        """The speech in seconds of the waveform; ``peak``: of the recording that it is from."""
        (frames,) = self._vad.probabilities([raised(waveform, peak)])
        seconds = len(waveform) / SAMPLE_RATE
        return list(speech_segments(frames, self._vad.hop, seconds, DEFAULTS[ENGINE]))
