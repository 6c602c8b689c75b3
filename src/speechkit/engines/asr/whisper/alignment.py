"""Token times from cross-attention by dynamic time warping, as in OpenAI's whisper/timing.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.asr.whisper.backend import Alignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEDIAN = 7  # frames, of the filter over time
FRAME = 0.02  # seconds an encoder frame

#: Pairs of seven values to put in order, after which the fourth is their median: N. Devillard,
#: "Fast median search" (1998), opt_med7. np.median takes many times as long.
_EXCHANGES = (
    *((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)),
    *((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)),
)


@dataclass(frozen=True, slots=True)
class Attention:
    """The cross-attention of a window.

    ``weights`` [heads, tokens, frames]: row i is the attention that predicted text token i of
    ``count``; one more row is that of the end. ``probabilities`` of the tokens.
    """

    weights: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    count: int
    seconds: float


def align(windows: Sequence[Attention]) -> list[Alignment]:
    """The times at which the text tokens of each window begin, and the last one ends."""
    paths = _first_frames([-_mean_attention(window) for window in windows])
    return [
        Alignment(
            [round(float(frame) * FRAME, 3) for frame in frames],
            window.probabilities[: window.count].tolist(),
        )
        for window, frames in zip(windows, paths, strict=True)
    ]


def _mean_attention(window: Attention) -> NDArray[np.float32]:
    """The normalised and smoothed mean over the heads, [tokens, frames]."""
    frames = max(1, min(window.weights.shape[2], round(window.seconds / FRAME)))
    heads = window.weights[:, : window.count + 1, :frames]
    spread = heads.std(axis=1, keepdims=True)
    heads = (heads - heads.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    mean: NDArray[np.float32] = _median(heads).mean(axis=0)
    return mean


def _median(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    half, frames = MEDIAN // 2, weights.shape[-1]
    if frames <= half:
        return weights
    padded = np.pad(weights, [(0, 0), (0, 0), (half, half)], mode="reflect")
    shifted = [padded[..., shift : shift + frames] for shift in range(MEDIAN)]
    for low, high in _EXCHANGES:
        first, second = shifted[low], shifted[high]
        shifted[low], shifted[high] = np.minimum(first, second), np.maximum(first, second)
    return shifted[half]


def _first_frames(costs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.int64]]:
    """For each matrix, the frames at which the cheapest monotonic path enters its rows.

    The steps of a path are right, down and both. Sums are computed by anti-diagonals, for all
    matrices at once: cell (i, j) lies on diagonal i + j, at place i, both from 1. Cells beyond a
    smaller matrix are computed, too, and never used.
    """
    rows, columns = (max(cost.shape[axis] for cost in costs) for axis in (0, 1))
    skewed = np.zeros((rows + columns + 1, len(costs), rows + 1), np.float32)
    for number, cost in enumerate(costs):
        for i, row in enumerate(cost, 1):
            skewed[i + 1 : i + 1 + len(row), number, i] = row
    steps = np.zeros(skewed.shape, np.int8)  # 0: from (i-1, j-1), 1: from (i-1, j), 2: (i, j-1)
    older, old = np.full((2, *skewed.shape[1:]), np.inf)  # sums on the two diagonals before
    older[:, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):
        here = slice(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        above = slice(here.start - 1, here.stop - 1)
        both, down, right = older[:, above], old[:, above], old[:, here]
        least = np.minimum(both, down)
        steps[diagonal, :, here] = np.where(right < least, 2, down < both)
        new = np.full_like(old, np.inf)
        new[:, here] = np.minimum(least, right) + skewed[diagonal, :, here]
        older, old = old, new
    return [_traced(steps[:, number], *cost.shape) for number, cost in enumerate(costs)]


def _traced(steps: NDArray[np.int8], rows: int, columns: int) -> NDArray[np.int64]:
    """The column at which the path enters each row, traced back from its end."""
    entered = np.zeros(rows, np.int64)
    i, j = rows, columns
    while i > 0 and j > 0:
        entered[i - 1] = j - 1
        step = steps[i + j, i]
        i, j = i - (step < 2), j - (step != 1)
    return entered
