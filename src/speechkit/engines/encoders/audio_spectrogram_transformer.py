"""The Audio Spectrogram Transformer by transformers: features of one layer, of windows of 10 s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers.audio_utils import mel_filter_bank

from speechkit.engines.encoders import pretrained
from speechkit.engines.encoders.features import Stretch, frames_of
from speechkit.engines.mel_filters import HOP
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.torch import device as torch_device

KIND = "audio-spectrogram-transformer"
# Kaldi's filter banks with the settings of transformers' ASTFeatureExtractor.
WINDOW, FFT = 400, 512  # samples
PREEMPHASIS = 0.97
LOWEST = 20.0  # Hz
FLOOR = 1.192092955078125e-07  # power
MEAN, STD = -4.2677393, 4.5689974  # of AudioSet, where a model doesn't state its own


class AstFeatures:
    """A `Features` backend. A frame holds the patches of all frequencies at its time, [frames,
    patches, width]; with ``cls``, in each place the window's class token, [frames, 1, width].

    The class token is the mean of the two that the model has, as its own pooling. Without a
    ``layer``, the features are the model's output; otherwise that of the n-th layer, without the
    final normalisation.
    """

    batched = True
    pads = True
    reinitialised: list[str] = []  # noqa: RUF012

    def __init__(
        self,
        model: Path,
        layer: int | None,
        device: torch.device,
        dtype: torch.dtype,
        *,
        cls: bool = False,
    ) -> None:
        loaded = pretrained.load(model, layer, [KIND])
        config = loaded.config
        if layer is not None:
            loaded.layernorm = nn.Identity()
        self._banks = FilterBanks(config.num_mel_bins, pretrained.preprocessor(model), device)
        self.width: int = config.hidden_size
        self.convolutions = [(WINDOW, HOP), (config.patch_size, config.time_stride)]
        self._frames = frames_of(self.convolutions)
        self._length: int = config.max_length  # of the filter banks
        self._times = (self._length - config.patch_size) // config.time_stride + 1
        self.longest = ((self._length - 1) * HOP + WINDOW) / SAMPLE_RATE
        self._cls, self._device, self._dtype = cls, device, dtype
        self._model: Any = loaded.to(device, dtype).eval()

    def whole(self, waveform: Tensor) -> tuple[Tensor, None]:
        return waveform, None

    @torch.inference_mode()
    def features(self, stretches: Sequence[Stretch]) -> list[Tensor]:
        waveforms = [torch_device.to_device(one.samples, self._device) for one in stretches]
        banks = torch.stack([self._banks(waveform, self._length) for waveform in waveforms])
        hidden = self._model(banks.to(self._dtype)).last_hidden_state
        counts = [self._frames.count(len(waveform)) for waveform in waveforms]
        if self._cls:
            tokens = hidden[:, :2].mean(1, keepdim=True)
            return [
                token.expand(count, -1, -1) for token, count in zip(tokens, counts, strict=True)
            ]
        patches = hidden[:, 2:].unflatten(1, (-1, self._times)).transpose(1, 2)
        return [row[:count] for row, count in zip(patches, counts, strict=True)]


class FilterBanks:
    """Normalised log energies of Kaldi's mel bands."""

    def __init__(self, bands: int, settings: dict[str, Any], device: torch.device) -> None:
        filters = mel_filter_bank(
            num_frequency_bins=FFT // 2 + 1,
            num_mel_filters=bands,
            min_frequency=LOWEST,
            max_frequency=SAMPLE_RATE // 2,
            sampling_rate=SAMPLE_RATE,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self._filters = torch.from_numpy(filters.astype(np.float32)).to(device)
        self._window = torch.hann_window(WINDOW, periodic=False, device=device)
        is_normalised = settings.get("do_normalize", True)
        self._mean = float(settings.get("mean", MEAN)) if is_normalised else 0.0
        self._scale = 2 * float(settings.get("std", STD)) if is_normalised else 1.0

    def __call__(self, waveform: Tensor, frames: int) -> Tensor:
        """[frames, bands] of a waveform [samples], filled with zeros before the normalisation."""
        windows = waveform.unfold(0, WINDOW, HOP)
        windows = windows - windows.mean(1, keepdim=True)
        before = torch.cat((windows[:, :1], windows[:, :-1]), 1)
        spectrum = torch.fft.rfft((windows - PREEMPHASIS * before) * self._window, FFT)
        energies = (spectrum.abs().square() @ self._filters).clamp_min(FLOOR).log()
        filled = pad(energies, (0, 0, 0, frames - len(energies)))
        return (filled - self._mean) / self._scale
