"""From a window's tokens to its segments, and the signs of a hallucination in them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from speechkit.engines.asr.whisper.vocabulary import TIMESTAMP, Vocabulary

# The limits of OpenAI's whisper/transcribe.py.
COMPRESSION_RATIO = 2.4  # above it the text repeats itself
LOG_PROBABILITY = -1.0  # below it the model doubts
NO_SPEECH = 0.6  # above it, and with doubts, there is no speech

REPEATS = 4  # repetitions in a row that no one says


@dataclass(frozen=True, slots=True)
class Span:
    """A segment: seconds in its window, and its text's tokens."""

    start: float
    end: float
    tokens: tuple[int, ...]


def spans(tokens: Sequence[int], vocabulary: Vocabulary, seconds: float) -> list[Span]:
    """The segments between timestamps, in order of time, within the window's ``seconds``.

    Without timestamps all of it is one segment.
    """
    found: list[Span] = []
    start = 0.0
    held: list[int] = []
    for token in [*tokens, vocabulary.eot]:
        if token < vocabulary.eot:
            held.append(token)
        elif token >= vocabulary.timestamps or token == vocabulary.eot:
            end = seconds
            if token != vocabulary.eot:
                end = min(seconds, (token - vocabulary.timestamps) * TIMESTAMP)
            if held:
                found.append(Span(min(start, end), end, tuple(held)))
            held, start = [], end
    return [span for span in found if vocabulary.decode(span.tokens).strip()]


def repeats_itself(text: str) -> bool:
    data = text.encode()
    return bool(data) and len(data) / len(zlib.compress(data)) > COMPRESSION_RATIO


def without_loops(tokens: Sequence[int]) -> list[int]:
    """The tokens with a sequence that follows itself `REPEATS` times or more kept once."""
    kept: list[int] = []
    loop: list[int] = []
    for token in tokens:
        kept.append(token)
        if loop and kept[-2 * len(loop) :] == loop * 2:
            del kept[-len(loop) :]
            continue
        for period in range(1, len(kept) // REPEATS + 1):
            tail = kept[-period:]
            if kept[-period * REPEATS :] == tail * REPEATS:
                del kept[-period * (REPEATS - 1) :]
                loop = tail
                break
    return kept
