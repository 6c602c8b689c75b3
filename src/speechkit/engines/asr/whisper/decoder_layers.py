"""The layers of a Whisper decoder, over key-value caches at fixed addresses."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn import functional


class KeyValueCache(NamedTuple):
    """A layer's keys and values [2, rows, heads, positions, width of a head].

    ``text``: of the tokens so far; ``audio``: of the windows.
    """

    text: torch.Tensor
    audio: torch.Tensor


class DecoderLayers:
    """The decoder of a `WhisperForConditionalGeneration`, on the model's own weights.

    Projections of the same input are fused; those of the model become views of the fused ones.
    """

    def __init__(self, model: Any) -> None:
        self._config = model.config
        self._decoder = model.model.decoder
        self._output = model.proj_out
        self._heads = model.config.decoder_attention_heads
        self._layers = [_Layer(layer) for layer in self._decoder.layers]

    @property
    def device(self) -> torch.device:
        device: torch.device = self._output.weight.device
        return device

    def caches(self, rows: int) -> list[KeyValueCache]:
        """Caches for ``rows`` windows and all positions of the model."""
        config = self._config
        head = config.d_model // self._heads
        lengths = config.max_target_positions, config.max_source_positions
        return [
            KeyValueCache(
                *(
                    self._output.weight.new_zeros(2, rows, self._heads, length, head)
                    for length in lengths
                )
            )
            for _ in self._layers
        ]

    def fill_audio(self, hidden: torch.Tensor, caches: list[KeyValueCache]) -> None:
        """Store the keys and values of ``hidden`` [windows, positions, width] for the audio."""
        for layer, cache in zip(self._layers, caches, strict=True):
            projected = self._by_head(functional.linear(hidden, *layer.audio), 2)
            cache.audio[:, : len(hidden)].copy_(projected.permute(2, 0, 3, 1, 4))

    def __call__(
        self, tokens: torch.Tensor, positions: torch.Tensor, span: int, caches: list[KeyValueCache]
    ) -> torch.Tensor:
        """The logits [rows, vocabulary] after ``tokens`` [rows, n] at ``positions`` [rows, n].

        All positions are below ``span``; their keys and values are stored.
        """
        rows = len(tokens)
        row = torch.arange(rows, device=tokens.device)[:, None]
        later = torch.arange(span, device=tokens.device) > positions[:, None, :, None]
        state = self._decoder.embed_tokens(tokens) + self._decoder.embed_positions.weight[positions]
        mask = state.new_zeros(later.shape).masked_fill_(later, -torch.inf)
        for layer, cache in zip(self._layers, caches, strict=True):
            projected = self._by_head(functional.linear(layer.before_text(state), *layer.text), 3)
            cache.text[:, row, :, positions] = projected[:, :, 1:]
            keys, values = cache.text[:, :rows, :, :span]
            state = state + layer.after_text(_attention(projected[:, :, 0], keys, values, mask))
            query = self._by_head(layer.audio_query(layer.before_audio(state)), 1)[:, :, 0]
            keys, values = cache.audio[:, :rows]
            state = state + layer.after_audio(_attention(query, keys, values, None))
            state = state + layer.feed_forward(state)
        last = self._decoder.layer_norm(state[:, -1])
        logits: torch.Tensor = self._output(last)
        return logits

    def _by_head(self, projected: torch.Tensor, parts: int) -> torch.Tensor:
        """[rows, n, parts, heads, width of a head]"""
        return projected.view(*projected.shape[:2], parts, self._heads, -1)


class _Layer:
    def __init__(self, layer: Any) -> None:
        text, audio = layer.self_attn, layer.encoder_attn
        self.text = _fused(text.q_proj, text.k_proj, text.v_proj)
        self.audio = _fused(audio.k_proj, audio.v_proj)
        self.before_text, self.after_text = layer.self_attn_layer_norm, text.out_proj
        self.before_audio, self.after_audio = layer.encoder_attn_layer_norm, audio.out_proj
        self.audio_query = audio.q_proj
        self._layer = layer

    def feed_forward(self, state: torch.Tensor) -> torch.Tensor:
        layer = self._layer
        wide = layer.activation_fn(layer.fc1(layer.final_layer_norm(state)))
        narrow: torch.Tensor = layer.fc2(wide)
        return narrow


@torch.no_grad()
def _fused(*linears: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The stacked weights and biases; keys have no bias."""
    weight = torch.cat([linear.weight for linear in linears])
    bias = torch.cat(
        [
            linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
            for linear in linears
        ]
    )
    parts = weight.split([len(linear.weight) for linear in linears])
    for linear, part in zip(linears, parts, strict=True):
        linear.weight.data = part
    return weight, bias


def _attention(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """[rows, n, width] of ``query`` [rows, n, heads, width of a head]."""
    output = functional.scaled_dot_product_attention(query.transpose(1, 2), keys, values, mask)
    return output.transpose(1, 2).flatten(2)
