"""Log-mel features, as WhisperFeatureExtractor computes them, on any device."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from speechkit.engines.protocols import SAMPLE_RATE

FFT, HOP = 400, 160  # samples
#: What a preprocessor_config.json may state, and no other.
SETTINGS = {"sampling_rate": SAMPLE_RATE, "n_fft": FFT, "hop_length": HOP}
FLOOR = 1e-10  # power
RANGE = 8.0  # powers of ten below the loudest, at which quieter bands are cut off
LINEAR = 1000.0  # Hz, up to which mels are linear, and
MELS = 3 / 200  # a Hz; beyond it, a mel is
STEP = 6.4 ** (1 / 27)  # times as high


class LogMel:
    """Log-mel features in ``mels`` bands, in float32."""

    def __init__(self, mels: int, device: torch.device) -> None:
        self._filters = torch.from_numpy(filters(mels)).to(device, torch.float32)
        self._window = torch.hann_window(FFT, device=device)

    def __call__(self, waveforms: torch.Tensor, frames: int) -> torch.Tensor:
        """[windows, mels, frames] of ``waveforms`` [windows, samples], padded with silence.

        The samples that don't fit in the frames are left out.
        """
        # The silence after the samples, as wide as a frame, is that of all frames beyond.
        samples = min(-(-(waveforms.shape[1] + FFT) // HOP), frames) * HOP
        padded = functional.pad(waveforms, (0, samples - waveforms.shape[1]))
        spectrum = torch.stft(padded, FFT, HOP, window=self._window, return_complex=True)
        power = self._filters @ spectrum[..., :-1].abs().square()
        missing = frames - power.shape[2]
        levels = functional.pad(power, (0, missing)).clamp_min(FLOOR).log10()
        loudest = levels.amax((1, 2), keepdim=True)
        return (levels.maximum(loudest - RANGE) + 4) / 4


def filters(mels: int) -> np.ndarray:
    """The weights [mels, FFT // 2 + 1] of triangular bands of equal area, evenly spaced in mels.

    M. Slaney's Auditory Toolbox (1998), mfcc.m, as in librosa.filters.mel.
    """
    top = LINEAR * MELS + np.log(SAMPLE_RATE / 2 / LINEAR) / np.log(STEP)
    places = np.linspace(0, top, mels + 2)
    beyond = np.maximum(0, places - LINEAR * MELS)
    edges = np.minimum(places / MELS, LINEAR) * STEP**beyond
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1)
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
