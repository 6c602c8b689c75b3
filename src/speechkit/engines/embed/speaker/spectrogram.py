"""Mel power spectra as Resemblyzer computes them, by librosa: not logarithmic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.embed.speaker.network import MELS
from speechkit.engines.mel_filters import FFT, HOP, filters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

    Array = NDArray[np.float32]

LOUDNESS = 10 ** (-30 / 20)  # RMS to which quieter waveforms are raised: -30 dBFS
FILTERS = filters(MELS).T.astype(np.float32)  # [bins, bands]
WINDOW = np.hanning(FFT + 1)[:-1].astype(np.float32)
FRAMES_AT_ONCE = 3000  # whose spectra take 5 MB


def raised(waveform: Waveform) -> Waveform:
    """The waveform at -30 dBFS if it is quieter, and not silent."""
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    return waveform * np.float32(LOUDNESS / level) if 0 < level < LOUDNESS else waveform


def mel_spectrogram(waveform: Waveform, frames: int) -> Array:
    """Power in 40 bands [frames, 40]; frame i is centred at sample 160 i, with silence around."""
    spectra = np.empty((frames, MELS), np.float32)
    for first in range(0, frames, FRAMES_AT_ONCE):
        part = spectra[first : first + FRAMES_AT_ONCE]
        samples = np.zeros((len(part) - 1) * HOP + FFT, np.float32)
        begin = first * HOP - FFT // 2
        heard = waveform[max(begin, 0) : begin + len(samples)]
        samples[max(-begin, 0) :][: len(heard)] = heard
        windows = np.lib.stride_tricks.sliding_window_view(samples, FFT)[::HOP]
        spectrum = np.fft.rfft(windows * WINDOW)
        part[:] = (spectrum.real**2 + spectrum.imag**2) @ FILTERS
    return spectra
