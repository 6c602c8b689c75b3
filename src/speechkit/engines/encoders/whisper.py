"""Whisper's encoder by transformers: features of one layer, of windows of 30 s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speechkit.engines.encoders import log_mel, pretrained
from speechkit.engines.encoders.features import Stretch
from speechkit.engines.mel_filters import HOP
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.torch import device as torch_device
from speechkit.errors import EngineMissing

FRAME = 2 * HOP  # samples
NAMES = {r"^(model\.)?encoder\.": ""}  # of the whole model's weights, and of the encoder's


class WhisperFeatures:
    """A `Features` backend. Its frames are those that audio covers, none of the silence with which
    a window is filled.

    Without a ``layer``, they are the encoder's output; otherwise that of the n-th layer, without
    the final normalisation.
    """

    batched = True
    pads = True
    convolutions = [(FRAME, FRAME)]  # noqa: RUF012
    reinitialised: list[str] = []  # noqa: RUF012

    def __init__(
        self, model: Path, layer: int | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        for name, value in pretrained.preprocessor(model).items():
            if log_mel.SETTINGS.get(name, value) != value:
                raise EngineMissing(f"{model}: {name} is {value}, and not {log_mel.SETTINGS[name]}")
        loaded = pretrained.load(model, layer, ["whisper"], WhisperEncoder, key_mapping=NAMES)
        config: WhisperConfig = loaded.config
        if layer is not None:
            loaded.layer_norm = nn.Identity()
        self.width: int = config.d_model
        self.longest = config.max_source_positions * FRAME / SAMPLE_RATE
        self._mels = 2 * config.max_source_positions
        self._log_mel = log_mel.LogMel(config.num_mel_bins, device)
        self._device, self._dtype = device, dtype
        self._model: Any = loaded.to(device, dtype).eval()

    def whole(self, waveform: Tensor) -> tuple[Tensor, None]:
        return waveform, None

    @torch.inference_mode()
    def features(self, stretches: Sequence[Stretch]) -> list[Tensor]:
        padded = pad_sequence([stretch.samples for stretch in stretches], batch_first=True)
        mels = self._log_mel(torch_device.to_device(padded, self._device), self._mels)
        hidden = self._model(mels.to(self._dtype)).last_hidden_state
        return [
            row[: len(stretch.samples) // FRAME]
            for row, stretch in zip(hidden, stretches, strict=True)
        ]
