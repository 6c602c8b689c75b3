"""The arithmetic of a Whisper decoder over caches that stay where they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn import functional


class KeyValueCache(NamedTuple):
    """A layer's keys and values [2, rows, heads, positions, width of a head]: ``text`` of the
    tokens so far, ``audio`` of the windows."""

    text: torch.Tensor
    audio: torch.Tensor


class DecoderLayers:
    """The decoder of a `WhisperForConditionalGeneration`, by its own weights: the projections of
    one input are fused, and the model's are views of them from then on."""

    def __init__(self, model: Any) -> None:
        self._config = model.config
        self._decoder = model.model.decoder
        self._output = model.proj_out
        self._heads = model.config.decoder_attention_heads
        self._layers = [_Layer(layer) for layer in self._decoder.layers]

    @property
    def device(self) -> torch.device:
        found: torch.device = self._output.weight.device
        return found

    def caches(self, rows: int) -> list[KeyValueCache]:
        """Of ``rows`` windows, for as many tokens as the model has positions for."""
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

    def hear(self, hidden: torch.Tensor, caches: list[KeyValueCache]) -> None:
        """Keeps what cross-attention makes of ``hidden`` [windows, positions, width]."""
        for layer, cache in zip(self._layers, caches, strict=True):
            made = functional.linear(hidden, *layer.audio)
            cache.audio[:, : len(hidden)].copy_(self._by_head(made, 2).permute(2, 0, 3, 1, 4))

    def __call__(
        self, tokens: torch.Tensor, positions: torch.Tensor, span: int, caches: list[KeyValueCache]
    ) -> torch.Tensor:
        """The logits [rows, vocabulary] after ``tokens`` [rows, n] at ``positions`` [rows, n], all
        of them below ``span``, which are kept."""
        rows = len(tokens)
        row = torch.arange(rows, device=tokens.device)[:, None]
        later = torch.arange(span, device=tokens.device) > positions[:, None, :, None]
        state = self._decoder.embed_tokens(tokens) + self._decoder.embed_positions.weight[positions]
        mask = state.new_zeros(later.shape).masked_fill_(later, -torch.inf)
        for layer, cache in zip(self._layers, caches, strict=True):
            made = self._by_head(functional.linear(layer.before_text(state), *layer.text), 3)
            cache.text[:, row, :, positions] = made[:, :, 1:]
            keys, values = cache.text[:, :rows, :, :span]
            state = state + layer.after_text(_attended(made[:, :, 0], keys, values, mask))
            query = self._by_head(layer.audio_query(layer.before_audio(state)), 1)[:, :, 0]
            keys, values = cache.audio[:, :rows]
            state = state + layer.after_audio(_attended(query, keys, values, None))
            state = state + layer.feed_forward(state)
        last = self._decoder.layer_norm(state[:, -1])
        logits: torch.Tensor = self._output(last)
        return logits

    def _by_head(self, made: torch.Tensor, parts: int) -> torch.Tensor:
        """[rows, n, parts, heads, width of a head]"""
        return made.view(*made.shape[:2], parts, self._heads, -1)


class _Layer:
    def __init__(self, layer: Any) -> None:
        own, other = layer.self_attn, layer.encoder_attn
        self.text = _fused(own.q_proj, own.k_proj, own.v_proj)
        self.audio = _fused(other.k_proj, other.v_proj)
        self.before_text, self.after_text = layer.self_attn_layer_norm, own.out_proj
        self.before_audio, self.after_audio = layer.encoder_attn_layer_norm, other.out_proj
        self.audio_query = other.q_proj
        self._layer = layer

    def feed_forward(self, state: torch.Tensor) -> torch.Tensor:
        layer = self._layer
        wide = layer.activation_fn(layer.fc1(layer.final_layer_norm(state)))
        narrow: torch.Tensor = layer.fc2(wide)
        return narrow


@torch.no_grad()
def _fused(*linears: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of all of them, one above the other; keys have no bias."""
    weight = torch.cat([one.weight for one in linears])
    bias = torch.cat(
        [one.weight.new_zeros(len(one.weight)) if one.bias is None else one.bias for one in linears]
    )
    for one, part in zip(linears, weight.split([len(one.weight) for one in linears]), strict=True):
        one.weight.data = part
    return weight, bias


def _attended(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """[rows, n, width] of ``query`` [rows, n, heads, width of a head]."""
    made = functional.scaled_dot_product_attention(query.transpose(1, 2), keys, values, mask)
    return made.transpose(1, 2).flatten(2)
