"""Log-mel features, as WhisperFeatureExtractor computes them, on any device."""

from __future__ import annotations

import torch
from torch.nn import functional

from speechkit.engines.mel_filters import FFT, HOP, filters
from speechkit.engines.protocols import SAMPLE_RATE

#: What a preprocessor_config.json may state, and no other.
SETTINGS = {"sampling_rate": SAMPLE_RATE, "n_fft": FFT, "hop_length": HOP}
FLOOR = 1e-10  # power
RANGE = 8.0  # powers of ten below the loudest, at which quieter bands are cut off


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
