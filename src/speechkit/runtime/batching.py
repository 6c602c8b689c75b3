"""Utterances into batches of like length, longest first, without reading the whole input."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from speechkit.records import Utterance

WINDOW = 1024  # utterances looked at together: bounds the memory and the reordering of a run
MOST = 256  # utterances in one batch, unless the stage says less
UNKNOWN_SECONDS = 10.0  # assumed of an utterance whose duration nobody has stated
SMALL = 100_000  # bytes of a file whose header isn't worth a look: 3 s of plain samples


def batches(
    utterances: Iterable[Utterance], batch_audio: float, most: int = MOST
) -> Iterator[tuple[Utterance, ...]]:
    """Batches of at most ``batch_audio`` seconds (or one utterance), ``most`` utterances each.
    Where the seconds don't matter (infinity), no header is read for them.

    Within each window the longest come first, so that workers finish together and the members of
    a batch have about the same length.
    """
    source = iter(utterances)
    measure = seconds if math.isfinite(batch_audio) else _unmeasured
    while window := [(measure(one), one) for one in islice(source, WINDOW)]:
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
    """Its duration as stated or, of a large file, as the header tells: hours of audio that pass for
    ten seconds would fill the memory."""
    if utterance.duration:
        return utterance.duration
    with contextlib.suppress(Exception):  # whoever decodes it says what is wrong with it
        if Path(utterance.audio).stat().st_size > SMALL:
            from speechkit.io import audio

            about = audio.estimated_seconds(utterance.audio)
            return max(about - utterance.offset, 0.0) if about else UNKNOWN_SECONDS
    return UNKNOWN_SECONDS


def _unmeasured(_: Utterance) -> float:
    return 0.0
