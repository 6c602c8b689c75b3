"""The engine ``fairseq``: fairseq's own HuBERT and unit HiFi-GAN, through compat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from speechkit.compat import patched_imports
from speechkit.engines.encoders.features import Stretch, convolutions_of, require_layer
from speechkit.engines.s2s import vocoder
from speechkit.engines.s2s.options import S2sEngineOptions
from speechkit.engines.s2s.speech_to_speech import SpeechToSpeech

WINDOW = 100.0  # seconds, as textlesslib's


def fairseq(options: S2sEngineOptions) -> SpeechToSpeech:
    """``options.model`` is a fairseq checkpoint."""
    return SpeechToSpeech("fairseq", FairseqFeatures, build_vocoder, options)


class FairseqFeatures:
    """A `Features` backend. It takes one waveform at a time, because fairseq's first normalisation
    includes the padding, which changes the features beside it."""

    batched = False
    longest = WINDOW
    reinitialised: list[str] = []  # noqa: RUF012

    def __init__(self, model: Path, layer: int, device: torch.device, dtype: torch.dtype) -> None:
        package = patched_imports.fairseq()
        with patched_imports.loading_errors(model, "fairseq"):
            (loaded,), _, task = package.checkpoint_utils.load_model_ensemble_and_task([str(model)])
        require_layer(layer, len(loaded.encoder.layers), model)
        self._layer = layer
        self._normalises = bool(task.cfg.normalize)
        self._device, self._dtype = device, dtype
        self.width: int = loaded.encoder.embedding_dim
        self.convolutions = convolutions_of(loaded)
        self._model = loaded.to(device, dtype).eval()

    def whole(self, waveform: Tensor) -> tuple[Tensor, None]:
        return layer_norm(waveform, waveform.shape) if self._normalises else waveform, None

    @torch.inference_mode()
    def features(self, stretches: Sequence[Stretch]) -> list[Tensor]:
        return [self._features(stretch.samples) for stretch in stretches]

    def _features(self, waveform: Tensor) -> Tensor:
        features, _ = self._model.extract_features(
            source=waveform.to(self._device, self._dtype)[None],
            padding_mask=None,
            mask=False,
            output_layer=self._layer,
        )
        frames: Tensor = features[0]
        return frames


def build_vocoder(model: Path, config: Mapping[str, Any]) -> Any:
    """fairseq's generator. Raise `EngineMissing`."""
    package = patched_imports.fairseq()
    vocoder.build(model, config)  # refuses what its weights don't fit, before memory is taken
    with patched_imports.loading_errors(model, "fairseq"):
        speech = package.models.text_to_speech
        generator = speech.codehifigan.CodeGenerator(dict(config))
        generator.load_state_dict(vocoder.read_weights(model))
        generator.remove_weight_norm()
        return generator
