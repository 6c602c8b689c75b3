"""HuBERT by fairseq's own code, through compat: features of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from speechkit.compat import patched_imports
from speechkit.engines.encoders.features import Stretch, convolutions_of, require_layer

WINDOW = 100.0  # seconds, as textlesslib's


class FairseqFeatures:
    """A `Features` backend. It takes one waveform at a time, because fairseq's first normalisation
    includes the padding, which changes the features beside it. Without a ``layer``, they are the
    model's output."""

    batched = False
    pads = False
    longest = WINDOW
    reinitialised: list[str] = []  # noqa: RUF012

    def __init__(
        self, model: Path, layer: int | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        package = patched_imports.fairseq()
        with patched_imports.loading_errors(model, "fairseq"):
            (loaded,), _, task = package.checkpoint_utils.load_model_ensemble_and_task([str(model)])
        if layer is not None:
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
