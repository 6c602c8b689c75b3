"""The engine ``textless``: textlesslib's HuBERT reader and vocoder, through compat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechkit.compat import patched_imports
from speechkit.engines.encoders.features import Stretch, convolutions_of, require_layer
from speechkit.engines.s2s import vocoder
from speechkit.engines.s2s.options import S2sEngineOptions
from speechkit.engines.s2s.speech_to_speech import SpeechToSpeech
from speechkit.errors import UsageError


def textless(options: S2sEngineOptions) -> SpeechToSpeech:
    """``options.model`` is a fairseq checkpoint."""
    return SpeechToSpeech("textless", TextlessFeatures, build_vocoder, options)


class TextlessFeatures:
    """A `Features` backend: the reader of textlesslib's SpeechEncoder.

    It normalises and cuts long audio by itself (every 100 s, without context), in float32 only.
    """

    batched = False
    pads = False
    longest = math.inf
    reinitialised: list[str] = []  # noqa: RUF012

    def __init__(self, model: Path, layer: int, device: torch.device, dtype: torch.dtype) -> None:
        if dtype != torch.float32:
            raise UsageError("--compute-type: textless has float32")
        package = patched_imports.textless()
        with patched_imports.loading_errors(model, "textlesslib"):
            self._reader = package.HubertFeatureReader(str(model), layer=layer).to(device)
        encoder = self._reader.model.encoder
        require_layer(layer, len(encoder.layers), model)
        self.width: int = encoder.embedding_dim
        self.convolutions = convolutions_of(self._reader.model)

    def whole(self, waveform: Tensor) -> tuple[Tensor, None]:
        return waveform, None

    def features(self, stretches: Sequence[Stretch]) -> list[Tensor]:
        return [self._reader(stretch.samples) for stretch in stretches]


def build_vocoder(model: Path, config: Mapping[str, Any]) -> Any:
    """textlesslib's generator. Raise `EngineMissing`."""
    package = patched_imports.textless()
    vocoder.build(model, config)  # refuses what its weights don't fit, before memory is taken
    with patched_imports.loading_errors(model, "textlesslib"):
        generator = package.vocoders.hifigan.generator.CodeGenerator(dict(config))
        generator.load_state_dict(vocoder.read_weights(model))
        generator.remove_weight_norm()
        return generator
