"""Batches of utterances of similar length, the longest first, without reading the whole input."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from speechkit.records import Utterance

WINDOW = 1024  # utterances sorted together: limits the memory and the reordering of a run
MOST = 256  # utterances in a batch, unless the stage sets a lower limit
UNKNOWN_SECONDS = 10.0  # assumed for an utterance without a stated duration
SMALL = 100_000  # bytes of a file, 3 s of plain samples, below which its header isn't read


def batches(
    utterances: Iterable[Utterance], batch_audio: float, most: int = MOST
) -> Iterator[tuple[Utterance, ...]]:
    """Yield batches of at most ``batch_audio`` seconds (or one utterance) and ``most`` utterances.

    Within each window the longest utterances come first, so that workers finish together and the
    members of a batch have similar lengths. With ``batch_audio`` infinite, no header is read.
    """
    source = iter(utterances)
    measure = seconds if math.isfinite(batch_audio) else _unmeasured
    while window := [(measure(utterance), utterance) for utterance in islice(source, WINDOW)]:
        window.sort(key=lambda pair: pair[0], reverse=True)
        batch: list[Utterance] = []
        held = 0.0
        for length, utterance in window:
            if batch and (held + length > batch_audio or len(batch) == most):
                yield tuple(batch)
                batch, held = [], 0.0
            batch.append(utterance)
            held += length
        yield tuple(batch)


def seconds(utterance: Utterance) -> float:
    """The stated duration of an utterance or, for a large file, an estimate from its header.

    Without the estimate, hours of audio would count as `UNKNOWN_SECONDS` and fill the memory.
    """
    if utterance.duration:
        return utterance.duration
    with contextlib.suppress(Exception):  # the decoder reports what is wrong with the file
        if Path(utterance.audio).stat().st_size > SMALL:
            from speechkit.io import audio

            estimate = audio.estimated_seconds(utterance.audio)
            return max(estimate - utterance.offset, 0.0) if estimate else UNKNOWN_SECONDS
    return UNKNOWN_SECONDS


def _unmeasured(_: Utterance) -> float:
    return 0.0
