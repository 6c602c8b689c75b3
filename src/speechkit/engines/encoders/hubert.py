"""HuBERT, WavLM and wav2vec 2.0 by transformers: features of one layer, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from torch.nn.utils.rnn import pad_sequence

from speechkit.compat import fairseq_checkpoint
from speechkit.engines.encoders import fairseq_weights, pretrained
from speechkit.engines.encoders.convolutions import (
    Affine,
    Convolutions,
    GivenNorm,
    NormalisedConvolution,
    PositionalConvolution,
)
from speechkit.engines.encoders.features import Stretch, frames_of, require_layer
from speechkit.engines.torch import device as torch_device

KINDS = ("hubert", "wavlm", "wav2vec2")
#: Seconds a window may be long: textlesslib's own for HuBERT; WavLM's position bias takes memory
#: with the square of it.
WINDOWS = {"hubert": 100.0, "wavlm": 30.0, "wav2vec2": 100.0}
VARIANCE_FLOOR = 1e-7  # of transformers' Wav2Vec2FeatureExtractor; fairseq's is layer_norm's 1e-5


class HubertFeatures:
    """A `Features` backend. ``model``: a fairseq checkpoint, or a folder of transformers.

    Layer n is the output of the n-th transformer layer, as in fairseq's ``output_layer`` and in
    ``hidden_states[n]``; the last layer of a model that normalises before each layer comes without
    the final normalisation, as in fairseq. Layers above are not loaded. Without a ``layer``, the
    features are the model's output.
    """

    batched = True
    pads = False

    def __init__(
        self,
        model: Path,
        layer: int | None,
        device: torch.device,
        dtype: torch.dtype,
        *,
        allow_reinit: bool = False,
    ) -> None:
        self._device, self._dtype = device, dtype
        self.reinitialised: list[str] = []
        if model.is_dir():
            loaded, self._normalise = _from_folder(model, layer)
        else:
            loaded, self._normalise, self.reinitialised = _from_checkpoint(
                model, layer, allow_reinit=allow_reinit
            )
        config = loaded.config
        self.width: int = config.hidden_size
        self.longest = WINDOWS[config.model_type]
        self.convolutions = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self._frames = frames_of(self.convolutions)
        if config.do_stable_layer_norm and layer is not None:
            loaded.encoder.layer_norm = nn.Identity()
        positional = loaded.encoder.pos_conv_embed
        _fold_weight_norm(positional.conv)
        first = loaded.feature_extractor.conv_layers[0]
        norm = first.layer_norm
        self._norm = GivenNorm(first.conv) if config.feat_extract_norm == "group" else None
        if self._norm:
            first.layer_norm = self._norm
        self._model: Any = loaded.to(device, dtype).eval()
        self._first = NormalisedConvolution(first.conv, norm) if self._norm else None
        self._together = (loaded.feature_extractor, positional.conv)
        self._alone = self._together
        if self._norm and device.type == "cpu" and dtype == torch.float32:
            self._alone = (
                Convolutions(loaded.feature_extractor),
                PositionalConvolution(positional.conv),
            )

    def whole(self, waveform: Tensor) -> tuple[Tensor, Affine | None]:
        """The waveform, normalised if the model expects that, and its first layer's `Affine`."""
        waveform = self._normalise(waveform) if self._normalise else waveform
        return waveform, self._first.affine(waveform) if self._first else None

    @torch.inference_mode()
    def features(self, stretches: Sequence[Stretch]) -> list[Tensor]:
        lengths = [len(stretch.samples) for stretch in stretches]
        padded = pad_sequence([stretch.samples for stretch in stretches], batch_first=True)
        padded = torch_device.to_device(padded, self._device).to(self._dtype)
        mask = None
        if min(lengths) < max(lengths):
            places = torch.arange(max(lengths), device=self._device)
            mask = places < torch_device.to_device(torch.tensor(lengths), self._device)[:, None]
        convolutions, positional = self._alone if len(stretches) == 1 else self._together
        if self._norm:
            self._norm.affines = [stretch.whole for stretch in stretches]
        self._model.feature_extractor = convolutions
        self._model.encoder.pos_conv_embed.conv = positional
        hidden = self._model(padded, attention_mask=mask).last_hidden_state
        return [
            row[: self._frames.count(length)] for row, length in zip(hidden, lengths, strict=True)
        ]


def _fold_weight_norm(conv: nn.Module) -> None:
    """Replace a weight's length and direction by the weight itself, computed once."""
    if is_parametrized(conv, "weight"):
        remove_parametrizations(conv, "weight")


def _as_fairseq(waveform: Tensor) -> Tensor:
    return layer_norm(waveform, waveform.shape)


def _as_transformers(waveform: Tensor) -> Tensor:
    variance = waveform.var(correction=0)
    return (waveform - waveform.mean()) / torch.sqrt(variance + VARIANCE_FLOOR)


def _from_checkpoint(
    model: Path, layer: int | None, *, allow_reinit: bool
) -> tuple[Any, Any, list[str]]:
    """The model of a checkpoint of fairseq, the normalisation of its waveforms, and the names of
    reinitialised weights."""
    saved = fairseq_checkpoint.read(model)
    layers = fairseq_weights.layer_count(saved)
    if layer is not None:
        require_layer(layer, layers, model)
    loaded, fresh = fairseq_weights.load(saved, layer or layers, allow_reinit=allow_reinit)
    return loaded, _as_fairseq if saved.task.get("normalize") else None, fresh


def _from_folder(model: Path, layer: int | None) -> tuple[Any, Any]:
    """The model of a folder of transformers, and the normalisation of its waveforms."""
    loaded = pretrained.load(model, layer, KINDS)
    return loaded, _as_transformers if _does_normalise(model, loaded.config) else None


def _does_normalise(model: Path, config: Any) -> bool:
    """Whether the model expects normalised waveforms, by its preprocessor's configuration.

    Without one, a model with layer norms in its convolutions does.
    """
    settings = pretrained.preprocessor(model)
    return bool(settings.get("do_normalize", config.feat_extract_norm == "layer"))
