"""A network of convolutions over units: long sequences in pieces, pieces of several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from speechkit.engines.padded_batches import PaddedBatches
from speechkit.engines.stopwatch import Stopwatch
from speechkit.engines.torch import device as torch_device

PIECE = 500  # units computed in a row, 10 s of the usual 20 ms

Sequences = Sequence[NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Units with context on either side; ``keep``: those of them without it."""

    units: NDArray[np.int64]
    keep: slice


def pieces(units: NDArray[np.int64], context: int) -> list[_Piece]:
    """Pieces of equal size, of `PIECE` units at most."""
    count = -(-len(units) // PIECE)
    edges = [len(units) * number // count for number in range(count + 1)]
    cut = []
    for start, end in pairwise(edges):
        first = max(0, start - context)
        cut.append(_Piece(units[first : end + context], slice(start - first, end - first)))
    return cut


class RowEnds:
    """Sets to zero what lies beyond the end of each row, before every convolution of a network.

    The zeros with which a convolution pads then begin where they begin for that row alone, so that
    its values are those alone. The input of every convolution must be a tensor of its own.
    """

    def __init__(self, network: nn.Module) -> None:
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                module.register_forward_pre_hook(self._clear)
        self._shortest = self._longest = 0
        self._lengths = torch.zeros(0)
        self._beyond: dict[int, Tensor] = {}  # [rows, 1, time], by time

    def set(self, lengths: Sequence[int], device: torch.device) -> None:
        self._shortest, self._longest = min(lengths), max(lengths)
        self._beyond = {}
        if self._shortest < self._longest:
            self._lengths = torch_device.to_device(torch.tensor(lengths), device)[:, None, None]

    def _clear(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        if self._shortest == self._longest:
            return
        (x,) = inputs
        time = x.shape[2]
        rate = time // self._longest
        first = self._shortest * rate
        if time not in self._beyond:
            places = torch.arange(first, time, device=x.device)
            self._beyond[time] = places >= self._lengths * rate
        x[..., first:].masked_fill_(self._beyond[time], 0)


class UnitNetwork:
    """``compute`` maps units [rows, count] to values [rows, count * rate].

    The values of a unit depend on ``context`` units on either side, at most.
    """

    def __init__(
        self,
        compute: Callable[[Tensor], Tensor],
        rate: int,
        context: int,
        ends: RowEnds,
        batches: PaddedBatches,
        device: torch.device,
        stopwatch: Stopwatch,
    ) -> None:
        self.compute, self.context = compute, context
        self._rate, self._ends, self._batches, self._device = rate, ends, batches, device
        self._stopwatch = stopwatch

    def values(self, sequences: Sequences) -> Iterator[NDArray[np.float32]]:
        """The values of each, in order, as soon as they are there."""
        cut = [pieces(units, self.context) for units in sequences]
        every = [piece for of_one in cut for piece in of_one]
        lengths = [len(piece.units) for piece in every]
        values = self._batches.map(every, lengths, self._values)
        for of_one in cut:
            yield np.concatenate([next(values) for _ in of_one])

    @torch.inference_mode()
    def _values(self, batch: Sequence[_Piece]) -> list[NDArray[np.float32]]:
        lengths = [len(piece.units) for piece in batch]
        self._ends.set(lengths, self._device)
        with self._stopwatch.part("vocoder"):
            units = [torch.from_numpy(piece.units) for piece in batch]
            rows = torch_device.to_device(pad_sequence(units, batch_first=True), self._device)
            values = self.compute(rows).float().cpu().numpy()
        if values.shape != (len(batch), max(lengths) * self._rate):
            raise RuntimeError(
                f"the vocoder has made {values.shape[1]} values of {max(lengths)} units, "
                f"{self._rate} for each expected"
            )
        return [
            row[piece.keep.start * self._rate : piece.keep.stop * self._rate]
            for row, piece in zip(values, batch, strict=True)
        ]
