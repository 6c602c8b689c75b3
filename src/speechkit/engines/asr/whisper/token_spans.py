"""The segments in a window's tokens, and the signs of a hallucination."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from speechkit.engines.asr.whisper.vocabulary import TIMESTAMP, Vocabulary

# The limits of OpenAI's whisper/transcribe.py.
COMPRESSION_RATIO = 2.4  # above it the text repeats itself
LOG_PROBABILITY = -1.0  # below it a draft is doubtful
NO_SPEECH = 0.6  # above it, and if the draft is doubtful, there is no speech

REPEATS = 4  # repetitions in a row that nobody speaks


@dataclass(frozen=True, slots=True)
class Span:
    """A segment: start and end in seconds of its window, and the tokens of its text."""

    start: float
    end: float
    tokens: tuple[int, ...]


def spans(tokens: Sequence[int], vocabulary: Vocabulary, seconds: float) -> list[Span]:
    """The segments between timestamps, in order of time, within the window's ``seconds``.

    Without timestamps the whole text is one segment.
    """
    segments: list[Span] = []
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
                segments.append(Span(min(start, end), end, tuple(held)))
            held, start = [], end
    return [span for span in segments if vocabulary.decode(span.tokens).strip()]


def repeats_itself(text: str) -> bool:
    data = text.encode()
    return bool(data) and len(data) / len(zlib.compress(data)) > COMPRESSION_RATIO


def without_loops(tokens: Sequence[int]) -> list[int]:
    """The tokens; of a sequence repeated `REPEATS` times or more, only the first is kept."""
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
