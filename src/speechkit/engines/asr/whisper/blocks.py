"""What the layers of a Whisper's encoder and decoder consist of, on the weights of a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from typing_extensions import Self

Weights = dict[str, torch.Tensor]  # by transformers' names


class _Affine(NamedTuple):
    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def of(cls, weights: Weights, name: str) -> Self:
        return cls(weights[f"{name}.weight"], weights[f"{name}.bias"])


class Linear(_Affine):
    @classmethod
    def fused(cls, weights: Weights, *names: str) -> Linear:
        """The projections of the same input as one; ``weights`` gets views of it.

        Keys have no bias.
        """
        parts = [weights[f"{name}.weight"] for name in names]
        sizes = [len(part) for part in parts]
        weight = torch.cat(parts)
        bias = weight.new_zeros(len(weight))
        views = zip(names, weight.split(sizes), bias.split(sizes), strict=True)
        for name, rows, offsets in views:
            weights[f"{name}.weight"] = rows
            if f"{name}.bias" in weights:
                weights[f"{name}.bias"] = offsets.copy_(weights[f"{name}.bias"])
        return cls(weight, bias)

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        return functional.linear(state, self.weight, self.bias)

    def by_head(self, state: torch.Tensor, parts: int, heads: int) -> torch.Tensor:
        """[parts, rows, heads, n, width of a head] of ``state`` [rows, n, width]."""
        projected = self(state).view(*state.shape[:2], parts, heads, -1)
        return projected.permute(2, 0, 3, 1, 4)


class LayerNorm(_Affine):
    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(state, self.weight.shape, self.weight, self.bias)


class FeedForward:
    """The second half of the layer ``name``, with its residual."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._norm = LayerNorm.of(weights, f"{name}.final_layer_norm")
        self._widen = Linear.of(weights, f"{name}.fc1")
        self._narrow = Linear.of(weights, f"{name}.fc2")

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        return state + self._narrow(functional.gelu(self._widen(self._norm(state))))


def attention(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """[rows, n, width] of ``query`` [rows, heads, n, width of a head].

    ``keys`` and ``values`` [rows, heads, positions, width of a head].
    """
    output = functional.scaled_dot_product_attention(query, keys, values, mask)
    return output.transpose(1, 2).flatten(2)
