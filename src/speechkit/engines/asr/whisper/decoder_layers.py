"""The layers of a Whisper decoder, over key-value caches at fixed addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from speechkit.engines.asr.whisper.blocks import FeedForward, LayerNorm, Linear, attention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechkit.engines.asr.whisper.blocks import Weights
    from speechkit.engines.asr.whisper.checkpoint import Checkpoint


class KeyValueCache(NamedTuple):
    """A layer's keys and values [2, rows, heads, positions, width of a head].

    ``text``: of the tokens so far; ``audio``: of the windows.
    """

    text: torch.Tensor
    audio: torch.Tensor

    def move(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy rows to others."""
        for part in self:
            part[:, targets] = part[:, sources]


class DecoderLayers:
    """A checkpoint's decoder. Projections of the same input are fused."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        weights, self.config = checkpoint.weights, checkpoint.config
        self._heads = self.config.decoder_attention_heads
        self._tokens = weights["model.decoder.embed_tokens.weight"]
        self._positions = weights["model.decoder.embed_positions.weight"]
        self._layers = [
            _Layer(weights, f"model.decoder.layers.{index}", self._heads)
            for index in range(self.config.decoder_layers)
        ]
        self._norm = LayerNorm.of(weights, "model.decoder.layer_norm")
        self._output = weights["proj_out.weight"]

    @property
    def device(self) -> torch.device:
        return self._output.device

    def caches(self, rows: int) -> list[KeyValueCache]:
        """Caches for ``rows`` windows and all positions of the model."""
        head = self.config.d_model // self._heads
        lengths = self.config.max_target_positions, self.config.max_source_positions
        return [
            KeyValueCache(
                *(self._output.new_zeros(2, rows, self._heads, length, head) for length in lengths)
            )
            for _ in self._layers
        ]

    def opening(self, hidden: torch.Tensor, start: int) -> torch.Tensor:
        """The logits [windows, vocabulary] after ``start``, the first token of each window.

        ``hidden`` [windows, positions, width] of the audio.
        """
        tokens = torch.full((len(hidden), 1), start, device=hidden.device)
        state = self._embedded(tokens, torch.zeros_like(tokens))
        for layer in self._layers:
            state = layer.attend_alone(state, hidden)
        return self._logits(state[:, 0])

    def prefill(
        self,
        hidden: torch.Tensor,
        tokens: torch.Tensor,
        start: int,
        caches: list[KeyValueCache],
        rows: torch.Tensor,
    ) -> torch.Tensor:
        """The logits [windows, 2, vocabulary] after ``tokens``, and after ``start`` without them.

        ``hidden`` [windows, positions, width] of the audio, ``tokens`` [windows, n] from the first
        position on. The keys and values of both are stored in ``rows`` of the caches.
        """
        length = tokens.shape[1]
        tokens = functional.pad(tokens, (0, 1), value=start)
        places = torch.arange(length + 1, device=tokens.device)
        hidden_places = places > places[:, None]
        hidden_places[length, :length] = True
        state = self._embedded(tokens, places % length)
        mask = state.new_zeros(length + 1, length + 1).masked_fill_(hidden_places, -torch.inf)
        for layer, cache in zip(self._layers, caches, strict=True):
            text = layer.text.by_head(layer.before_text(state), 3, self._heads)
            audio = layer.audio.by_head(hidden, 2, self._heads)
            state = layer.attend(state, text[0], text[1:], mask, audio)
            cache.text[:, rows, :, :length] = text[1:, :, :, :length]
            cache.audio[:, rows, :, : hidden.shape[1]] = audio
        return self._logits(state[:, -2:])

    def __call__(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        span: int,
        frames: int,
        caches: list[KeyValueCache],
    ) -> torch.Tensor:
        """The logits [rows, vocabulary] after ``tokens`` [rows] at ``positions`` [rows].

        All positions are below ``span``; their keys and values are stored. ``frames``: of the
        audio of each row.
        """
        rows = len(tokens)
        row = torch.arange(rows, device=tokens.device)
        later = torch.arange(span, device=tokens.device) > positions[:, None, None, None]
        state = self._embedded(tokens[:, None], positions[:, None])
        mask = state.new_zeros(later.shape).masked_fill_(later, -torch.inf)
        for layer, cache in zip(self._layers, caches, strict=True):
            text = layer.text.by_head(layer.before_text(state), 3, self._heads)
            cache.text[:, row, :, positions] = text[1:, :, :, 0].transpose(0, 1)
            so_far = cache.text[:, :rows, :, :span]
            audio = cache.audio[:, :rows, :, :frames]
            state = layer.attend(state, text[0], so_far, mask, audio)
        return self._logits(state[:, -1])

    def aligned(
        self, tokens: torch.Tensor, hidden: torch.Tensor, heads: Sequence[tuple[int, int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The attention of ``tokens`` [rows, n] to the audio ``hidden`` [rows, positions, width].

        Return the weights [rows, heads, n, positions] of the ``heads``, pairs of a layer and a
        head, and the log probabilities [rows, n - 1] of all tokens but the first, in float32.
        """
        places = torch.arange(tokens.shape[1], device=tokens.device)
        state = self._embedded(tokens, places)
        mask = state.new_zeros(len(places), len(places))
        mask.masked_fill_(places > places[:, None], -torch.inf)
        weights = {}
        for index, layer in enumerate(self._layers):
            text = layer.text.by_head(layer.before_text(state), 3, self._heads)
            audio = layer.audio.by_head(hidden, 2, self._heads)
            state = layer.attend_to_text(state, text[0], text[1:], mask)
            query = layer.query_audio(state)
            for pair in heads:
                if pair[0] == index:
                    weights[pair] = _weights(query[:, pair[1]], audio[0, :, pair[1]])
            state = layer.attend_to_audio(state, query, audio)
        likely = [
            self._logits(row[:-1]).float().log_softmax(-1).gather(1, chosen)[:, 0]
            for row, chosen in zip(state, tokens[:, 1:, None], strict=True)
        ]
        return torch.stack([weights[pair] for pair in heads], 1), torch.stack(likely)

    def _embedded(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return functional.embedding(tokens, self._tokens) + self._positions[positions]

    def _logits(self, state: torch.Tensor) -> torch.Tensor:
        return functional.linear(self._norm(state), self._output)


class _Layer:
    def __init__(self, weights: Weights, name: str, heads: int) -> None:
        text, audio = f"{name}.self_attn", f"{name}.encoder_attn"
        self._heads = heads
        self.before_text = LayerNorm.of(weights, f"{text}_layer_norm")
        self.text = Linear.fused(weights, *(f"{text}.{part}_proj" for part in "qkv"))
        self._after_text = Linear.of(weights, f"{text}.out_proj")
        self._before_audio = LayerNorm.of(weights, f"{audio}_layer_norm")
        self._audio_query = Linear.of(weights, f"{audio}.q_proj")
        self.audio = Linear.fused(weights, *(f"{audio}.{part}_proj" for part in "kv"))
        self._after_audio = Linear.of(weights, f"{audio}.out_proj")
        self._feed_forward = FeedForward(weights, name)

    def attend(
        self,
        state: torch.Tensor,
        query: torch.Tensor,
        text: torch.Tensor,
        mask: torch.Tensor,
        audio: torch.Tensor,
    ) -> torch.Tensor:
        """The next state, by ``query`` on the keys and values of ``text`` and then of ``audio``."""
        state = self.attend_to_text(state, query, text, mask)
        return self.attend_to_audio(state, self.query_audio(state), audio)

    def attend_alone(self, state: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """The next state of a first token [windows, 1, width], which attends to itself and audio.

        Its query is projected to the width of the audio ``hidden``, instead of all the audio to
        keys and values: with one query, that takes a fraction of the time.
        """
        value = self.text.by_head(self.before_text(state), 3, self._heads)[2]
        state = state + self._after_text(value.transpose(1, 2).flatten(2))
        keys, values = self.audio.weight.view(2, self._heads, -1, hidden.shape[-1])
        query = self.query_audio(state)[:, :, 0]
        asked = torch.einsum("whd,hdn->whn", query, keys) * query.shape[-1] ** -0.5
        shares = (asked @ hidden.transpose(1, 2)).softmax(-1, dtype=torch.float32)
        heard = shares.to(hidden.dtype) @ hidden
        merged = torch.einsum("whn,hdn->whd", heard, values).flatten(1)
        merged = merged + self.audio.bias[merged.shape[1] :]
        return self._feed_forward(state + self._after_audio(merged[:, None]))

    def attend_to_text(
        self, state: torch.Tensor, query: torch.Tensor, text: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        return state + self._after_text(attention(query, text[0], text[1], mask))

    def query_audio(self, state: torch.Tensor) -> torch.Tensor:
        return self._audio_query.by_head(self._before_audio(state), 1, self._heads)[0]

    def attend_to_audio(
        self, state: torch.Tensor, query: torch.Tensor, audio: torch.Tensor
    ) -> torch.Tensor:
        return self._feed_forward(state + self._after_audio(attention(query, audio[0], audio[1])))


def _weights(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """The attention [rows, n, positions] of one head, in float32."""
    scores = query @ keys.transpose(1, 2) * query.shape[-1] ** -0.5
    return scores.float().softmax(-1)
