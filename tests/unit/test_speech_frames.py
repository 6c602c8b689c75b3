"""Quiet recordings are raised before a VAD hears them."""

from __future__ import annotations

import numpy as np

from speechkit.stages.vad import speech_frames
from speechkit.stages.vad.speech_frames import MOST_GAIN, PEAK


def raised(samples: list[float]) -> list[float]:
    waveform = speech_frames.raised(np.array(samples, np.float32))
    assert waveform.dtype == np.float32
    return [round(float(sample), 6) for sample in waveform]


def test_loud_recordings_stay_as_they_are() -> None:
    assert raised([0.1, -PEAK, 0.2]) == [0.1, -PEAK, 0.2]
    assert raised([1.5, -0.1]) == [1.5, -0.1]


def test_quiet_recordings_are_raised_to_the_peak_whatever_its_sign() -> None:
    assert raised([0.01, -PEAK / 8]) == [0.08, -PEAK]
    assert raised([PEAK / 4, -0.01]) == [PEAK, -0.04]


def test_no_recording_is_raised_by_more_than_the_most() -> None:
    assert raised([1e-4, -1e-5]) == [round(MOST_GAIN * 1e-4, 6), round(-MOST_GAIN * 1e-5, 6)]
    assert raised([0.0, 0.0]) == [0.0, 0.0]
