"""An encoder on PyTorch whose frames are pooled to vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from speechkit.engines.embed import adapters
from speechkit.engines.embed.options import EncoderOptions
from speechkit.engines.encoders.features import Extractor, Features
from speechkit.engines.protocols import SAMPLE_RATE, DeviceUse, Pooled
from speechkit.engines.stopwatch import Stopwatch
from speechkit.engines.torch import device as torch_device
from speechkit.io.embedding_shards import EMBEDDINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

    Array = NDArray[np.float32]

    #: Builds an encoder for a device and a precision.
    Build = Callable[[torch.device, torch.dtype], Features]

SAME = 1e-4  # of a vector's length: how much a batch may change it in float32
ROUNDINGS = 2  # of a number in half precision, that a batch may change a vector by


class PooledEncoder:
    """An `EmbedEngine`. It pools in float32, whatever the encoder's precision.

    Before any utterance, a short and a long waveform are computed together and each alone. Where
    their vectors differ, the encoder gets one window at a time.
    """

    def __init__(self, name: str, build: Build, options: EncoderOptions) -> None:
        self._device = torch_device.device(options.device, name)
        self._dtype = torch_device.dtype(options.compute_type, self._device, name)
        self._stopwatch = Stopwatch(lambda: torch_device.synchronize(self._device))
        encoder = build(self._device, self._dtype)
        self._extractor = Extractor(encoder, self._device, options.batch_size)
        self.pooling = options.pool
        self.shortest = self._extractor.frames.field
        self.longest = int(encoder.longest * SAMPLE_RATE)
        heads = adapters.read(options.adapter, encoder.width)
        self._heads = {name: head.moved(self._on_device) for name, head in heads.items()}
        self.widths = {EMBEDDINGS: encoder.width} | {n: head.width for n, head in heads.items()}
        self._one_by_one = self._batches_change_vectors()

    def pool(self, windows: Sequence[Waveform]) -> list[Pooled]:
        with self._stopwatch.part("encoder"):
            return self._pooled(windows)

    def finish(self, pooled: Array) -> Mapping[str, Array]:
        vectors = self._on_device(pooled)
        heads = {name: head(vectors, torch).cpu().numpy() for name, head in self._heads.items()}
        return {EMBEDDINGS: pooled, **heads}

    def device_use(self) -> DeviceUse:
        parts = dict(self._stopwatch.parts)
        return DeviceUse(
            str(self._device),
            torch_device.name(self._dtype),
            self._extractor.batches.size,
            sum(parts.values()),
            tuple(self._extractor.encoder.reinitialised),
            parts,
            self._one_by_one,
        )

    def _pooled(self, windows: Sequence[Waveform]) -> list[Pooled]:
        features = self._extractor.features(windows)
        vectors = torch.stack([self._vector(frames) for frames in features]).cpu().numpy()
        return [Pooled(v, len(frames)) for v, frames in zip(vectors, features, strict=True)]

    def _vector(self, frames: Tensor) -> Tensor:
        """[width] of [frames, width] or [frames, patches, width]."""
        rows = frames.flatten(0, -2)
        return rows.amax(0).float() if self.pooling == "max" else rows.mean(0, dtype=torch.float32)

    def _on_device(self, array: Array) -> Tensor:
        return torch_device.to_device(torch.from_numpy(array), self._device)

    def _batches_change_vectors(self) -> bool:
        """Whether they would; there are none from then on."""
        batches = self._extractor.batches
        if not self._extractor.encoder.batched or batches.most == 1:
            return not self._extractor.encoder.batched
        pair = _short_and_long(self.shortest, self.longest)
        alone = [self._pooled([one])[0] for one in pair]
        most = max(map(_difference, self._pooled(pair), alone))
        if most <= max(SAME, ROUNDINGS * torch.finfo(self._dtype).eps):
            return False
        batches.most = 1
        return True


def _short_and_long(shortest: int, longest: int) -> list[Waveform]:
    """Noise that gets louder, of 1 s and of 3 s, as far as an encoder takes them."""
    random = np.random.default_rng(1)
    lengths = [min(max(seconds * SAMPLE_RATE, shortest), longest) for seconds in (1, 3)]
    return [
        (random.standard_normal(length) * np.linspace(0.01, 0.1, length)).astype(np.float32)
        for length in lengths
    ]


def _difference(one: Pooled, other: Pooled) -> float:
    """Of two vectors, against the length of one."""
    length = float(np.linalg.norm(other.vector))
    return float(np.linalg.norm(one.vector - other.vector)) / max(length, 1e-12)
