"""Token times from cross-attention, by dynamic time warping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.asr.whisper.backend import Alignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEDIAN = 7  # frames, of the filter over time
FRAME = 0.02  # seconds an encoder frame


def align(
    weights: NDArray[np.float32], sure: NDArray[np.float32], count: int, seconds: float
) -> Alignment:
    """Where ``count`` text tokens begin, and the last one ends, as OpenAI's whisper/timing.py does.

    ``weights`` [heads, tokens, frames]: row i is the attention with which text token i was
    predicted, one row more the end's. ``sure``: the tokens' probabilities.
    """
    frames = max(1, min(weights.shape[2], round(seconds / FRAME)))
    heads = weights[:, : count + 1, :frames]
    spread = heads.std(axis=1, keepdims=True)
    heads = (heads - heads.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    matrix = _median(heads).mean(axis=0)
    return Alignment(
        [round(float(frame) * FRAME, 3) for frame in _first_frames(-matrix)],
        sure[:count].tolist(),
    )


def _median(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    half = MEDIAN // 2
    if weights.shape[-1] <= half:
        return weights
    padded = np.pad(weights, [(0, 0), (0, 0), (half, half)], mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN, axis=-1), axis=-1)


def _first_frames(cost: NDArray[np.float32]) -> NDArray[np.int64]:
    """The frame at which the cheapest monotonic path enters each row.

    The steps of a path are right, down and both. Filled by anti-diagonals: cell (i, j) lies on
    diagonal i + j, at place i.
    """
    rows, columns = cost.shape
    total = np.full((rows + columns + 1, rows + 1), np.inf)  # [i + j, i], with a border at 0
    total[0, 0] = 0.0
    came = np.zeros((rows + columns + 1, rows + 1), np.int8)
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        # from (i-1, j-1), (i-1, j), (i, j-1)
        ways = np.stack(
            [total[diagonal - 2, i - 1], total[diagonal - 1, i - 1], total[diagonal - 1, i]]
        )
        best = ways.argmin(axis=0)
        came[diagonal, i] = best
        total[diagonal, i] = cost[i - 1, diagonal - i - 1] + ways[best, np.arange(len(i))]
    entered = np.zeros(rows, np.int64)
    i, j = rows, columns
    while i > 0 and j > 0:
        entered[i - 1] = j - 1
        step = came[i + j, i]
        i, j = i - (step < 2), j - (step != 1)
    return entered
