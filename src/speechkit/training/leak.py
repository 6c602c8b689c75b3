"""Speech that a model would be both trained and measured on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from speechkit.io.inputs import Inputs
from speechkit.records import Utterance


def leaked(evaluation: Sequence[str], trained: Iterable[Utterance]) -> int:
    """The number of utterances of the inputs ``evaluation`` that share audio with one of those
    that are ``trained`` on.

    Audio is shared within one file, known by its path.
    """
    held: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    with Inputs(evaluation) as inputs:
        for number, utterance in enumerate(inputs):
            held[utterance.audio].append((number, *_span(utterance)))
    found: set[int] = set()
    for utterance in trained:
        if spans := held.get(utterance.audio):
            start, end = _span(utterance)
            found |= {number for number, first, last in spans if first < end and start < last}
    return len(found)


def _span(utterance: Utterance) -> tuple[float, float]:
    """Its start and end in its file, in seconds."""
    length = math.inf if utterance.duration is None else utterance.duration
    return utterance.offset, utterance.offset + length
