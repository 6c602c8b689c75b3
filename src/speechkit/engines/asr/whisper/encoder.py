"""A Whisper's encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from speechkit.engines.asr.whisper.blocks import FeedForward, LayerNorm, Linear, attention

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.blocks import Weights
    from speechkit.engines.asr.whisper.checkpoint import Checkpoint


class Encoder:
    def __init__(self, checkpoint: Checkpoint) -> None:
        weights, config = checkpoint.weights, checkpoint.config
        self._convolutions = [Linear.of(weights, f"model.encoder.conv{i}") for i in (1, 2)]
        self._positions = weights["model.encoder.embed_positions.weight"]
        self._layers = [
            _Layer(weights, f"model.encoder.layers.{index}", config.encoder_attention_heads)
            for index in range(config.encoder_layers)
        ]
        self._norm = LayerNorm.of(weights, "model.encoder.layer_norm")

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """[windows, frames / 2, width] of ``features`` [windows, mels, frames].

        The frames are no more than twice the checkpoint's positions.
        """
        first, second = self._convolutions
        state = functional.gelu(functional.conv1d(features, *first, padding=1))
        state = functional.gelu(functional.conv1d(state, *second, stride=2, padding=1))
        state = state.transpose(1, 2).contiguous()  # or all layers would keep it transposed
        state = state + self._positions[: state.shape[1]]
        for layer in self._layers:
            state = layer(state)
        return self._norm(state)


class _Layer:
    def __init__(self, weights: Weights, name: str, heads: int) -> None:
        parts = (f"{name}.self_attn.{part}_proj" for part in "qkv")
        self._heads = heads
        self._norm = LayerNorm.of(weights, f"{name}.self_attn_layer_norm")
        self._project = Linear.fused(weights, *parts)
        self._merge = Linear.of(weights, f"{name}.self_attn.out_proj")
        self._feed_forward = FeedForward(weights, name)

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        projected = self._project.by_head(self._norm(state), 3, self._heads)
        state = self._feed_forward(state + self._merge(attention(*projected)))
        if state.dtype == torch.float16:  # of which large models leave the range
            limit = torch.finfo(state.dtype).max - 1000
            state = state.clamp(-limit, limit)
        return state
