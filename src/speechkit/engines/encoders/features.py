"""Waveforms to the features of an encoder's layer: in windows where they are long, in batches where
the encoder can."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from speechkit.engines.batch_size import BatchSize
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.torch import device as torch_device
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

CONTEXT = 5.0  # seconds of audio on either side of a window, whose features are thrown away
CPU_BATCH = 1  # windows; on a CPU padding costs more than is gained
BYTES_A_SECOND = 16 << 20  # of a window at the widest, about: 3,200 frames of 512 floats, twice


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples of a waveform, and what the encoder has said of the ``whole`` of it."""

    samples: Tensor
    whole: Any


class Features(Protocol):
    """An encoder. ``convolutions``: (kernel, stride) of what makes frames of samples; ``longest``:
    seconds it is given at once. ``batched``: several waveforms together give what each gives alone.
    """

    batched: bool
    width: int
    longest: float
    convolutions: list[tuple[int, int]]
    reinitialised: list[str]

    def whole(self, waveform: Tensor) -> tuple[Tensor, Any]:
        """A whole waveform as the encoder wants it, and what it has to know of it later on."""
        ...

    def features(self, stretches: Sequence[Stretch]) -> list[Tensor]:
        """Of each, [frames, width]."""
        ...


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames that an encoder makes: each ``hop`` samples one, of ``field`` samples each."""

    hop: int
    field: int

    def count(self, samples: int) -> int:
        return max(0, (samples - self.field) // self.hop + 1)

    def samples(self, first: int, last: int) -> slice:
        """What the frames from ``first`` up to ``last`` are made of."""
        return slice(first * self.hop, (last - 1) * self.hop + self.field)


def frames_of(convolutions: Sequence[tuple[int, int]]) -> Frames:
    """Of stacked convolutions without padding, (kernel, stride) each."""
    hop = field = 1
    for kernel, stride in convolutions:
        field += (kernel - 1) * hop
        hop *= stride
    return Frames(hop, field)


def convolutions_of(model: Any) -> list[tuple[int, int]]:
    """Of a HuBERT of fairseq."""
    layers = (block[0] for block in model.feature_extractor.conv_layers)
    return [(layer.kernel_size[0], layer.stride[0]) for layer in layers]


def require_layer(layer: int, layers: int, model: Path) -> None:
    """Raise `UsageError` for a layer that does not exist; fairseq would silently take the last."""
    if not 1 <= layer <= layers:
        raise UsageError(f"--layer {layer}: {model.name} has the layers 1 to {layers}")


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of a waveform's frames, with context; ``keep``: those of its frames that count."""

    samples: slice
    keep: slice


def windows(frames: Frames, samples: int, longest: float) -> list[_Window]:
    """One where all fits into ``longest`` seconds, else several of equal size with `CONTEXT`."""
    count = frames.count(samples)
    if samples <= longest * SAMPLE_RATE:
        return [_Window(slice(0, samples), slice(0, count))]
    room = frames.count(int(longest * SAMPLE_RATE))
    context = min(int(CONTEXT * SAMPLE_RATE) // frames.hop, room // 4)
    pieces = -(-count // (room - 2 * context))
    edges = [count * number // pieces for number in range(pieces + 1)]
    found = []
    for start, end in pairwise(edges):
        first, last = max(0, start - context), min(count, end + context)
        found.append(_Window(frames.samples(first, last), slice(start - first, end - first)))
    return found


class Extractor:
    """Runs a `Features` backend; ``max_window`` in seconds, 0: the encoder's own."""

    def __init__(
        self, encoder: Features, device: torch.device, batch_size: int, max_window: float = 0.0
    ) -> None:
        self.encoder = encoder
        self.frames = frames_of(encoder.convolutions)
        self.seconds = 0.0
        self._longest = max_window or encoder.longest
        self.batch = BatchSize(
            (batch_size or _batch_size(device, self._longest)) if encoder.batched else 1,
            torch_device.out_of_memory,
            lambda: torch_device.free_memory(device),
        )

    def features(self, waveforms: Sequence[Waveform]) -> list[Tensor]:
        """[frames, width] of each, which must hold ``frames.field`` samples at least."""
        began = time.monotonic()
        cut: list[Stretch] = []
        cuts: list[list[_Window]] = []
        for waveform in waveforms:
            samples, whole = self.encoder.whole(torch.from_numpy(waveform.copy()))
            cuts.append(windows(self.frames, len(samples), self._longest))
            cut += [Stretch(samples[window.samples], whole) for window in cuts[-1]]
        # Those of a batch about as long as each other, so that little of it is padding.
        by_length = sorted(range(len(cut)), key=lambda index: len(cut[index].samples), reverse=True)
        found = self.batch.map([cut[index] for index in by_length], self.encoder.features)
        made = dict(zip(by_length, found, strict=True))
        numbers = iter(range(len(cut)))
        stitched = [torch.cat([made[next(numbers)][window.keep] for window in own]) for own in cuts]
        self.seconds += time.monotonic() - began
        return stitched


def _batch_size(device: torch.device, longest: float) -> int:
    if device.type == "cpu":
        return CPU_BATCH
    return torch_device.batch_size(device, int(BYTES_A_SECOND * longest))
