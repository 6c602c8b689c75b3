"""The VAD that tells which stretches of audio must give words."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE, VadEngine
from speechkit.runtime import trace
from speechkit.stages.asr.windows import Span
from speechkit.stages.vad.segmentation import DEFAULTS, speech_segments
from speechkit.stages.vad.speech_frames import raised

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

ENGINE = "silero"  # takes less than 1 % of the time of recognition, and works in many threads

_building = threading.Lock()


def build() -> VadEngine:
    """The VAD, built once in each process; loading threads may need it before the engine is there.

    Raise `EngineMissing`.
    """
    with _building:
        return _vad()


def speech(waveform: Waveform, peak: float) -> list[Span]:
    """The speech in seconds of the waveform; ``peak``: of the recording that it is from."""
    vad = build()
    with trace.vad():
        (frames,) = vad.probabilities([raised(waveform, peak)])
    return list(speech_segments(frames, vad.hop, len(waveform) / SAMPLE_RATE, DEFAULTS[ENGINE]))


@functools.cache
def _vad() -> VadEngine:
    vad: VadEngine = registry.create("vad", ENGINE)
    return vad
