"""Utterances into batches of like length, longest first, without reading the whole input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from speechkit.records import Utterance

WINDOW = 1024  # utterances looked at together: bounds the memory and the reordering of a run
MOST = 256  # utterances in one batch, unless the stage says less
UNKNOWN_SECONDS = 10.0  # assumed of an utterance whose duration nobody has stated


def batches(
    utterances: Iterable[Utterance], batch_audio: float, most: int = MOST
) -> Iterator[tuple[Utterance, ...]]:
    """Batches of at most ``batch_audio`` seconds (or one utterance), ``most`` utterances each.

    Within each window the longest come first, so that workers finish together and the members of
    a batch have about the same length.
    """
    source = iter(utterances)
    while window := list(islice(source, WINDOW)):
        window.sort(key=_seconds, reverse=True)
        batch: list[Utterance] = []
        held = 0.0
        for utterance in window:
            if batch and (held + _seconds(utterance) > batch_audio or len(batch) == most):
                yield tuple(batch)
                batch, held = [], 0.0
            batch.append(utterance)
            held += _seconds(utterance)
        yield tuple(batch)


def _seconds(utterance: Utterance) -> float:
    return utterance.duration or UNKNOWN_SECONDS
