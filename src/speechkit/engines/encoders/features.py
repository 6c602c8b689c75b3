"""Features of an encoder's layer: long waveforms in windows, several in batches where possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from speechkit.engines.padded_batches import PaddedBatches
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.torch import device as torch_device
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

CONTEXT = 5.0  # seconds of audio on either side of a window, whose features are discarded
SECONDS_AT_ONCE = 120.0  # of a batch with its padding, with which a GPU has enough to do
CPU_BATCH = 1  # windows; on a CPU padding costs more than is gained
BYTES_A_SECOND = 16 << 20  # of a window at the widest, about: 3,200 frames of 512 floats, twice


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples of a waveform, and the encoder's data on the ``whole`` waveform."""

    samples: Tensor
    whole: Any


class Features(Protocol):
    """An encoder. ``convolutions``: (kernel, stride) of the layers that turn samples into frames.

    ``longest``: seconds it takes at once. ``batched``: a waveform has the same features in a batch
    as alone. ``pads``: it fills every stretch to ``longest``, so that all take the same time.
    """

    batched: bool
    pads: bool
    width: int
    longest: float
    convolutions: list[tuple[int, int]]
    reinitialised: list[str]

    def whole(self, waveform: Tensor) -> tuple[Tensor, Any]:
        """A whole waveform prepared for the encoder, and the data it needs later for its parts."""
        ...

    def features(self, stretches: Sequence[Stretch]) -> list[Tensor]:
        """The features of each stretch, [frames, width]."""
        ...


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of an encoder: one every ``hop`` samples, computed from ``field`` samples."""

    hop: int
    field: int

    def count(self, samples: int) -> int:
        return max(0, (samples - self.field) // self.hop + 1)

    def samples(self, first: int, last: int) -> slice:
        """The samples from which the frames from ``first`` up to ``last`` are computed."""
        return slice(first * self.hop, (last - 1) * self.hop + self.field)


def frames_of(convolutions: Sequence[tuple[int, int]]) -> Frames:
    """The frames of stacked convolutions without padding, (kernel, stride) each."""
    hop = field = 1
    for kernel, stride in convolutions:
        field += (kernel - 1) * hop
        hop *= stride
    return Frames(hop, field)


def convolutions_of(model: Any) -> list[tuple[int, int]]:
    """(kernel, stride) of the convolutions of fairseq's HuBERT."""
    layers = (block[0] for block in model.feature_extractor.conv_layers)
    return [(layer.kernel_size[0], layer.stride[0]) for layer in layers]


def require_layer(layer: int, layers: int, model: Path) -> None:
    """Raise `UsageError` for a layer that does not exist; fairseq would silently take the last."""
    if not 1 <= layer <= layers:
        raise UsageError(f"--layer {layer}: {model.name} has the layers 1 to {layers}")


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of a waveform with context; ``keep``: its frames without the context."""

    samples: slice
    keep: slice


def windows(frames: Frames, samples: int, longest: float) -> list[_Window]:
    """One window where ``longest`` seconds suffice, else several of equal size with context."""
    count = frames.count(samples)
    if samples <= longest * SAMPLE_RATE:
        return [_Window(slice(0, samples), slice(0, count))]
    room = frames.count(int(longest * SAMPLE_RATE))
    context = min(int(CONTEXT * SAMPLE_RATE) // frames.hop, room // 4)
    pieces = -(-count // (room - 2 * context))
    edges = [count * number // pieces for number in range(pieces + 1)]
    cut = []
    for start, end in pairwise(edges):
        first, last = max(0, start - context), min(count, end + context)
        cut.append(_Window(frames.samples(first, last), slice(start - first, end - first)))
    return cut


class Extractor:
    """Runs a `Features` backend; ``max_window`` in seconds, 0: the encoder's own."""

    def __init__(
        self, encoder: Features, device: torch.device, batch_size: int, max_window: float = 0.0
    ) -> None:
        self.encoder = encoder
        self.frames = frames_of(encoder.convolutions)
        self._longest = max_window or encoder.longest
        self.batches = PaddedBatches(
            (batch_size or _batch_size(device, self._longest)) if encoder.batched else 1,
            int(SECONDS_AT_ONCE * SAMPLE_RATE),
            torch_device.out_of_memory,
            lambda: torch_device.free_memory(device),
        )

    def features(self, waveforms: Sequence[Waveform]) -> list[Tensor]:
        """[frames, width] of each, which must hold ``frames.field`` samples at least."""
        cut = [windows(self.frames, len(waveform), self._longest) for waveform in waveforms]
        places = [(index, window) for index, of_one in enumerate(cut) for window in of_one]
        # Prepared batch by batch, while a GPU computes the one before.
        whole = cache(lambda index: self.encoder.whole(torch.from_numpy(waveforms[index].copy())))

        def encode(batch: Sequence[tuple[int, _Window]]) -> list[Tensor]:
            prepared = [(*whole(index), window.samples) for index, window in batch]
            return self.encoder.features(
                [Stretch(samples[part], data) for samples, data, part in prepared]
            )

        most = int(self._longest * SAMPLE_RATE)
        lengths = [
            most if self.encoder.pads else window.samples.stop - window.samples.start
            for _, window in places
        ]
        encoded = self.batches.map(places, lengths, encode)
        return [torch.cat([next(encoded)[window.keep] for window in of_one]) for of_one in cut]


def _batch_size(device: torch.device, longest: float) -> int:
    if device.type == "cpu":
        return CPU_BATCH
    return torch_device.batch_size(device, int(BYTES_A_SECOND * longest))
