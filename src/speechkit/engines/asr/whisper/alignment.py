"""Token times from cross-attention by dynamic time warping, as in OpenAI's whisper/timing.py.

All of it runs where the attention is, on any device with numbers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

MEDIAN = 7  # frames, of the filter over time
FRAME = 0.02  # seconds an encoder frame

#: Pairs of seven values to put in order, after which the fourth is their median: N. Devillard,
#: "Fast median search" (1998), opt_med7. torch.median takes many times as long.
_EXCHANGES = (
    *((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)),
    *((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)),
)


def starts(
    attention: torch.Tensor, counts: Sequence[int], seconds: Sequence[float]
) -> list[list[float]]:
    """The seconds at which the text tokens of each window begin, and the last one ends.

    ``attention`` [windows, heads, tokens, frames] to the audio: row i is that which predicted text
    token i of ``counts``; one more row is that of the end. ``seconds``: of each window's audio.
    """
    costs = [
        -_mean_attention(window[:, : count + 1, : max(1, round(length / FRAME))])
        for window, count, length in zip(attention, counts, seconds, strict=True)
    ]
    return [
        [round(frame * FRAME, 3) for frame in frames[: len(cost)]]
        for cost, frames in zip(costs, first_frames(costs).tolist(), strict=True)
    ]


def _mean_attention(weights: torch.Tensor) -> torch.Tensor:
    """The normalised and smoothed mean over the heads, [tokens, frames]."""
    centred = weights - weights.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt()  # torch.std takes many times as long
    return median(centred / spread.masked_fill(spread == 0, 1.0)).mean(0)


def median(weights: torch.Tensor) -> torch.Tensor:
    """The running median over the last of three dimensions."""
    half, frames = MEDIAN // 2, weights.shape[-1]
    if frames <= half:
        return weights
    padded = functional.pad(weights, (half, half), mode="reflect")
    shifted = [padded[..., shift : shift + frames] for shift in range(MEDIAN)]
    for low, high in _EXCHANGES:
        first, second = shifted[low], shifted[high]
        shifted[low], shifted[high] = first.minimum(second), first.maximum(second)
    return shifted[half]


def first_frames(costs: Sequence[torch.Tensor]) -> torch.Tensor:
    """For each matrix [tokens, frames], the frames at which the cheapest path enters its rows.

    The steps of a path are right, down and both. For all matrices at once, row by row: the cheapest
    path to frame j of a row that enters the row at frame k costs what its way to k does, without
    the row's frames before k, and all of the row's frames up to j. So the best k is that of a
    running minimum. Cells beyond a smaller matrix are computed, too, and never used.
    """
    rows, columns = (max(cost.shape[axis] for cost in costs) for axis in (0, 1))
    padded = costs[0].new_zeros(rows, len(costs), columns, dtype=torch.float64)
    for number, cost in enumerate(costs):
        padded[: cost.shape[0], number, : cost.shape[1]] = cost
    above = torch.full_like(padded[0], torch.inf)  # sums of the row above, to each frame
    diagonal = above.clone()  # and to the frame before it
    diagonal[:, 0] = 0.0
    entries, from_above = [], []
    for row in padded:
        total = row.cumsum(1)
        from_above.append(above < diagonal)
        least, entry = (above.minimum(diagonal) - total + row).cummin(1)
        entries.append(entry)
        above = least + total
        diagonal = functional.pad(above[:, :-1], (1, 0), value=torch.inf)
    return _traced(entries, from_above, [tuple(cost.shape) for cost in costs])


def _traced(
    entries: list[torch.Tensor], from_above: list[torch.Tensor], shapes: list[tuple[int, ...]]
) -> torch.Tensor:
    """The frames [windows, rows] at which the paths enter each row, traced back from their ends.

    For each row, ``entries`` has the frame at which the path to a frame has entered the row, and
    ``from_above`` whether it comes straight down there.
    """
    device = entries[0].device
    lengths = torch.tensor([shape[0] for shape in shapes], device=device)[:, None]
    place = torch.tensor([shape[1] - 1 for shape in shapes], device=device)[:, None]
    found = []
    for row in reversed(range(len(entries))):
        entry = entries[row].gather(1, place)
        found.append(entry)
        before = entry - 1 + from_above[row].gather(1, entry).long()
        place = torch.where(lengths > row, before, place).clamp_min(0)
    return torch.cat(found[::-1], 1)
