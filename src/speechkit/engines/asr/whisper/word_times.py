"""Times of words, from the decoder's attention when it predicted their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.asr.whisper.vocabulary import CLOSING, UNSPACED
from speechkit.records import Segment, Word, size_of, text_of

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Alignment
    from speechkit.engines.asr.whisper.token_spans import Span
    from speechkit.engines.asr.whisper.vocabulary import Vocabulary

# A token's attention is the one that predicted it, and the decoder turns to the next word as soon
# as it has recognised the previous one: a quarter of its length before its end. Measured on flite's
# exact phone times (scripts/bench/word_times.py): the error of a start grows with the length of the
# previous word, not with that of its own.
LAG = 0.25
SLOWEST = 0.3  # seconds a letter; more is a pause
# An aligner adds the silence before a first word, or before a word after punctuation, to the word:
# such a word gets `SHORT` seconds, or `PACES` times its share of the text if that is longer.
SHORT, PACES = 0.3, 1.6


def segments(
    spans: Sequence[Span],
    alignment: Alignment,
    vocabulary: Vocabulary,
    language: str | None,
) -> list[Segment]:
    """A segment for each span, with its words, in seconds of the window."""
    groups = [vocabulary.words(span.tokens, language) for span in spans]
    timed = iter(words([group for row in groups for group in row], alignment, vocabulary))
    rows = [[word for _ in row if (word := next(timed)).text] for row in groups]
    return [
        Segment(row[0].start, row[-1].end, text_of(row), tuple(row))
        for row in (spaced(row, language) for row in rows if row)
    ]


def spaced(words: Sequence[Word], language: str | None) -> list[Word]:
    """The first words of a text, which a space separates from other texts."""
    first = replace(words[0], spaced=words[0].spaced or language not in UNSPACED)
    return [first, *words[1:]]


def words(
    groups: Sequence[Sequence[int]], alignment: Alignment, vocabulary: Vocabulary
) -> list[Word]:
    """A word for each group of the tokens, in seconds of the window; some are without text."""
    found: list[Word] = []
    first = 0
    for group in groups:
        found.append(_word(group, alignment, vocabulary, first))
        first += len(group)
    timed = iter(_without_lag([word for word in found if word.text]))
    return [next(timed) if word.text else word for word in found]


def _word(tokens: Sequence[int], alignment: Alignment, vocabulary: Vocabulary, first: int) -> Word:
    """A word of tokens, of which the first has the number ``first`` in the text.

    It ends where its closing punctuation begins, because an aligner adds the next pause to that.
    """
    last = first + len(tokens)
    spoken = last - vocabulary.closing(tokens)
    # In a text of the decoder's maximal length the last tokens have no times.
    start, end = (
        alignment.starts[min(token, len(alignment.starts) - 1)] for token in (first, spoken)
    )
    confidence = round(float(np.mean(alignment.probabilities[first:last] or [0.0])), 3)
    text = vocabulary.decode(tokens)
    spaced = text.startswith(" ")
    return Word(text.strip(), start, max(start, end), confidence, spaced)


def _without_lag(words: Sequence[Word]) -> list[Word]:
    """The words without the decoder's lead: none starts before the previous one is over.

    The length of a word is estimated from its share of the text. A word after a silence starts
    after it.
    """
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
