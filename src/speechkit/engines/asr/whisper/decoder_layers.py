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

    def move(self, source: int, target: int) -> None:
        """Copy a row to another."""
        for part in self:
            part[:, target].copy_(part[:, source])


class DecoderLayers:
    """The decoder of a `WhisperForConditionalGeneration`, on the model's own weights.

    Projections of the same input are fused; those of the model become views of the fused ones.
    """

    def __init__(self, model: Any) -> None:
        self._config = model.config
        self._decoder = model.model.decoder
        self._output = model.proj_out
        self._heads = model.config.decoder_attention_heads
        self._layers = [_Layer(layer, self._heads) for layer in self._decoder.layers]

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

    def prefill(
        self,
        hidden: torch.Tensor,
        tokens: torch.Tensor,
        start: int,
        caches: list[KeyValueCache] | None = None,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The logits [windows, 2, vocabulary] after ``tokens``, and after ``start`` without them.

        ``hidden`` [windows, positions, width] of the audio, ``tokens`` [windows, n] from the first
        position on. The keys and values of both are stored in ``rows`` of the caches, if given.
        Without tokens, there are the second logits alone.
        """
        length = tokens.shape[1]
        tokens = functional.pad(tokens, (0, 1), value=start)
        place = torch.arange(length + 1, device=tokens.device)
        hides = place > place[:, None]
        hides[length, :length] = True
        state = self._embedded(tokens, place % max(length, 1))
        mask = state.new_zeros(hides.shape).masked_fill_(hides, -torch.inf)
        for index, layer in enumerate(self._layers):
            text = self._projected(layer.before_text(state), layer.text, 3)
            audio = self._projected(hidden, layer.audio, 2)
            state = layer.attend(state, text[0], text[1:], mask, audio)
            if caches:
                caches[index].text[:, rows, :, :length] = text[1:, :, :, :length]
                caches[index].audio[:, rows] = audio
        return self._logits(state[:, -2:])

    def __call__(
        self, tokens: torch.Tensor, positions: torch.Tensor, span: int, caches: list[KeyValueCache]
    ) -> torch.Tensor:
        """The logits [rows, vocabulary] after ``tokens`` [rows] at ``positions`` [rows].

        All positions are below ``span``; their keys and values are stored.
        """
        rows = len(tokens)
        row = torch.arange(rows, device=tokens.device)
        later = torch.arange(span, device=tokens.device) > positions[:, None, None, None]
        state = self._embedded(tokens[:, None], positions[:, None])
        mask = state.new_zeros(later.shape).masked_fill_(later, -torch.inf)
        for layer, cache in zip(self._layers, caches, strict=True):
            text = self._projected(layer.before_text(state), layer.text, 3)
            cache.text[:, row, :, positions] = text[1:, :, :, 0].transpose(0, 1)
            so_far = cache.text[:, :rows, :, :span]
            state = layer.attend(state, text[0], so_far, mask, cache.audio[:, :rows])
        return self._logits(state[:, -1])

    def _embedded(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        places: torch.Tensor = self._decoder.embed_positions.weight[positions]
        return places + self._decoder.embed_tokens(tokens)

    def _projected(
        self, state: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor], parts: int
    ) -> torch.Tensor:
        """[parts, rows, heads, n, width of a head] of ``state`` [rows, n, width]"""
        projected = functional.linear(state, *weights)
        return projected.view(*state.shape[:2], parts, self._heads, -1).permute(2, 0, 3, 1, 4)

    def _logits(self, state: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._output(self._decoder.layer_norm(state))
        return logits


class _Layer:
    def __init__(self, layer: Any, heads: int) -> None:
        text, audio = layer.self_attn, layer.encoder_attn
        self.text = _fused(text.q_proj, text.k_proj, text.v_proj)
        self.audio = _fused(audio.k_proj, audio.v_proj)
        self.before_text, self.after_text = layer.self_attn_layer_norm, text.out_proj
        self.before_audio, self.after_audio = layer.encoder_attn_layer_norm, audio.out_proj
        self.audio_query = audio.q_proj
        self._layer, self._heads = layer, heads

    def attend(
        self,
        state: torch.Tensor,
        query: torch.Tensor,
        text: torch.Tensor,
        mask: torch.Tensor,
        audio: torch.Tensor,
    ) -> torch.Tensor:
        """The next state, by ``query`` on the keys and values of ``text`` and then of ``audio``."""
        state = state + self.after_text(_attention(query, text, mask))
        query = self.audio_query(self.before_audio(state)).unflatten(-1, (self._heads, -1))
        state = state + self.after_audio(_attention(query.transpose(1, 2), audio, None))
        return state + self.feed_forward(state)

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
    query: torch.Tensor, cached: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """[rows, n, width] of ``query`` [rows, heads, n, width of a head] on keys and values."""
    keys, values = cached
    output = functional.scaled_dot_product_attention(query, keys, values, mask)
    return output.transpose(1, 2).flatten(2)
