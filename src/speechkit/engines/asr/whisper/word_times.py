"""Words at their times, from where the decoder looked when it wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.asr.whisper.vocabulary import CLOSING, UNSPACED
from speechkit.records import Segment, Word, size_of, text_of

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Alignment
    from speechkit.engines.asr.whisper.transcript import Span
    from speechkit.engines.asr.whisper.vocabulary import Vocabulary

# A token's attention is that with which it was predicted, and the decoder turns to the next word as
# soon as it has understood the one before: a quarter of its length before it is over. Measured
# on flite's exact phone times (scripts/bench/word_times.py): the error of a start grows with the
# length of the word before, not of its own.
LAG = 0.25
SLOWEST = 0.3  # seconds a letter; more is a pause
# An aligner gives the silence before a first word, and before one behind punctuation, to the word:
# such a word takes `SHORT` seconds, or `PACES` times its share of the text, if that is more.
SHORT, PACES = 0.3, 1.6


def segments(
    spans: Sequence[Span],
    alignment: Alignment,
    vocabulary: Vocabulary,
    language: str | None,
) -> list[Segment]:
    """A segment for each span, with its words, between their times. All in the window's seconds."""
    grouped: list[list[Word]] = []
    first = 0
    for span in spans:
        words: list[Word] = []
        for group in vocabulary.words(span.tokens, language):
            word = _word(group, alignment, vocabulary, first)
            first += len(group)
            if word.text:
                alone = not words and language not in UNSPACED
                words.append(replace(word, spaced=word.spaced or alone))
        grouped.append(words)
    placed = iter(_without_lag([word for words in grouped for word in words]))
    own = (tuple(next(placed) for _ in words) for words in grouped if words)
    return [Segment(words[0].start, words[-1].end, text_of(words), words) for words in own]


def _word(tokens: Sequence[int], alignment: Alignment, vocabulary: Vocabulary, first: int) -> Word:
    """``first``: the place of its first token in the text. It ends where its closing punctuation
    begins, to which an aligner gives the pause behind it."""
    last = first + len(tokens)
    spoken = last - vocabulary.closing(tokens)
    # A text as long as the decoder allows leaves its last tokens without a place.
    start, end = (
        alignment.starts[min(token, len(alignment.starts) - 1)] for token in (first, spoken)
    )
    sure = alignment.probabilities[first:last] or [0.0]
    text = vocabulary.decode(tokens)
    spaced = text.startswith(" ")
    return Word(text.strip(), start, max(start, end), round(float(np.mean(sure)), 3), spaced)


def _without_lag(words: Sequence[Word]) -> list[Word]:
    """Each word behind the one before it is over, whose length its share of the text tells; those
    after a silence behind it."""
    if not words:
        return []
    sizes = [max(1, size_of(word.text)) for word in words]
    paces = [(word.end - word.start) / size for word, size in zip(words, sizes, strict=True)]
    pace = float(np.median(paces))
    late = [LAG * min(pace, SLOWEST) * size for size in sizes]
    starts = [words[0].start]
    for word, shift in zip(words[1:], late[:-1], strict=True):
        starts.append(max(starts[-1], word.start + shift))
    starts.append(words[-1].end + late[-1])
    after_silence = [True, *(word.text.endswith(tuple(CLOSING)) for word in words[:-1])]
    placed: list[Word] = []
    for at, word in enumerate(words):
        start = starts[at]
        end = max(start, min(word.end + late[at], starts[at + 1]))
        if after_silence[at]:
            longest = max(SHORT, min(PACES * pace, SLOWEST) * sizes[at])
            start = max(start, end - longest)
        placed.append(replace(word, start=round(start, 3), end=round(end, 3)))
    return placed
