"""The vectors of an utterance: joined from those of its windows, and on their way in a line."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.engines.protocols import Pooled
from speechkit.errors import EmbeddingInvalid
from speechkit.io.audio import Audio
from speechkit.io.embedding_shards import BYTES, NAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

#: The key with the vectors in a line of the journal: in base64, little-endian, by name.
VECTORS = "embed_vectors"


def windows(audio: Audio, longest: int) -> Iterator[Waveform]:
    """All of the audio, in windows of equal length (but for a sample) of at most ``longest``."""
    count = -(-audio.samples // longest)
    edges = [audio.samples * number // count for number in range(count + 1)]
    stretches = audio.stretches()
    held = next(stretches)
    for start, end in pairwise(edges):
        while len(held) < end - start:
            held = np.concatenate((held, next(stretches)))
        yield held[: end - start]
        held = held[end - start :]


def joined(pooled: Sequence[Pooled], pooling: str) -> NDArray[np.float32]:
    """The vector [width] of all windows of an utterance, as if their frames were pooled at once."""
    if len(pooled) == 1:
        return pooled[0].vector
    vectors = np.stack([one.vector for one in pooled])
    if pooling == "max":
        largest: NDArray[np.float32] = np.max(vectors, axis=0)
        return largest
    frames = [one.frames for one in pooled]
    return np.average(vectors.astype(np.float64), axis=0, weights=frames).astype(np.float32)


def packed(vectors: Mapping[str, NDArray[np.float32]], dtype: str) -> dict[str, str]:
    """The vectors [width] by name, for a line. Raises `EmbeddingInvalid` for NaN and infinity."""
    texts = {}
    for name, vector in vectors.items():
        with np.errstate(over="ignore"):
            values = np.asarray(vector).astype(f"<f{BYTES[dtype]}")
        if not np.isfinite(vector).all():
            raise EmbeddingInvalid("the engine made NaN or infinite values of it")
        if not np.isfinite(values).all():
            raise EmbeddingInvalid(f"has values too large for {dtype}; take --dtype float32")
        texts[name] = base64.b64encode(values.tobytes()).decode()
    return texts


def unpacked(texts: Any, dtype: str) -> dict[str, bytes]:
    """The rows of shards that a line's `VECTORS` stands for. Raises ValueError for anything else,
    because a line may be forged."""
    if not isinstance(texts, dict) or not texts:
        raise ValueError("no vectors")
    rows = {}
    for name, text in texts.items():
        if not NAME.fullmatch(name) or not isinstance(text, str):
            raise ValueError("no vectors")
        rows[name] = base64.b64decode(text, validate=True)
        if not np.isfinite(np.frombuffer(rows[name], f"<f{BYTES[dtype]}")).all():
            raise ValueError("not finite")
    return rows
