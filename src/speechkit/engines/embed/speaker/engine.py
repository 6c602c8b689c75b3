"""The speaker encoder of Resemblyzer (GE2E, Apache-2.0) through onnxruntime. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.embed import adapters
from speechkit.engines.embed.speaker import SpeakerOptions, weights
from speechkit.engines.embed.speaker.spectrogram import mel_spectrogram, raised
from speechkit.engines.mel_filters import FFT, HOP
from speechkit.engines.protocols import SAMPLE_RATE, Pooled
from speechkit.errors import EngineMissing
from speechkit.io.embedding_shards import EMBEDDINGS

try:
    from speechkit.engines.embed.speaker.network import WIDTH, build_network
    from speechkit.engines.onnx_session import session
except ImportError as error:
    raise EngineMissing(
        "the speaker encoder needs onnx and onnxruntime: run `pip install onnx onnxruntime`."
    ) from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

    Array = NDArray[np.float32]

PART = 160  # frames of a part, 1.6 s
STEP = 77  # frames from one part to the next: 1.3 parts a second, as in Resemblyzer
COVERED = 0.75  # of the last part, which is left out otherwise
ROWS = 32  # parts in one call
LONGEST = 600 * SAMPLE_RATE  # samples


class SpeakerEncoder:
    """An `EmbedEngine`: who speaks, as a vector of length 1; the mean over parts of 1.6 s.

    Resemblyzer shortens long silences first, by WebRTC's detector; here nothing is left out.
    """

    pooling = "mean"
    shortest = FFT
    longest = LONGEST

    def __init__(self, options: SpeakerOptions) -> None:
        self._session = session(build_network(weights.read()).SerializeToString())
        self._heads = adapters.read(options.adapter, WIDTH)
        heads = {name: head.width for name, head in self._heads.items()}
        self.widths: Mapping[str, int] = {EMBEDDINGS: WIDTH, **heads}

    def pool(self, windows: Sequence[Waveform]) -> list[Pooled]:
        counts = [len(starts(len(waveform))) for waveform in windows]
        vectors = self._vectors(part for waveform in windows for part in _parts(waveform))
        return [Pooled(np.mean(list(islice(vectors, n)), axis=0), n) for n in counts]

    def finish(self, pooled: Array) -> Mapping[str, Array]:
        unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True).clip(1e-12)
        heads = {name: head(unit, adapters.NUMPY) for name, head in self._heads.items()}
        return {EMBEDDINGS: unit, **heads}

    def device_use(self) -> None:
        return None

    def _vectors(self, parts: Iterator[Array]) -> Iterator[Array]:
        """The vector of each part, which doesn't depend on the others: its row is its own."""
        while batch := list(islice(parts, ROWS)):
            (vectors,) = self._session.run(None, {"mels": np.stack(batch, axis=1)})
            yield from vectors


def starts(samples: int) -> range:
    """The first frame of each part of a waveform."""
    frames = -(-(samples + 1) // HOP)
    found = range(0, max(1, frames - PART + STEP + 1), STEP)
    is_covered = samples - found[-1] * HOP >= COVERED * PART * HOP
    return found if is_covered or len(found) == 1 else found[:-1]


def _parts(waveform: Waveform) -> Iterator[Array]:
    """Mel spectra [160, 40] of each part."""
    first = starts(len(waveform))
    mels = mel_spectrogram(raised(waveform), first[-1] + PART)
    for start in first:
        yield mels[start : start + PART]
