"""The bands of mel spectra at 16 kHz, with windows of 25 ms every 10 ms."""

from __future__ import annotations

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE

FFT, HOP = 400, 160  # samples
LINEAR = 1000.0  # Hz, up to which mels are linear, and
MELS = 3 / 200  # a Hz; beyond it, a mel is
STEP = 6.4 ** (1 / 27)  # times as high


def filters(mels: int, fft: int = FFT) -> np.ndarray:
    """The weights [mels, fft // 2 + 1] of triangular bands of equal area, evenly spaced in mels.

    M. Slaney's Auditory Toolbox (1998), mfcc.m, as in librosa.filters.mel.
    """
    top = LINEAR * MELS + np.log(SAMPLE_RATE / 2 / LINEAR) / np.log(STEP)
    places = np.linspace(0, top, mels + 2)
    beyond = np.maximum(0, places - LINEAR * MELS)
    edges = np.minimum(places / MELS, LINEAR) * STEP**beyond
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(fft // 2 + 1) * SAMPLE_RATE / fft
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
