"""Which stretches of speech a transcript says nothing of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width

from speechkit.pipelines.windows import Span
from speechkit.records import Word

HOLE = 0.9  # seconds of speech without words that count
# What a word can take: in 5,700 words of LibriSpeech, of many speakers, with real pauses, no
# stretch of words that were all there took more than this and `HOLE` (scripts/bench/asr.py).
WORD_SECONDS = 0.35
CHARACTER_SECONDS = 0.09
WIDE = 3  # times as long, of a character that stands for a syllable or a word


def unheard(words: Sequence[Word], speech: Sequence[Span], least: float = HOLE) -> list[Span]:
    """Spans of speech of ``least`` seconds and more for which no word accounts.

    Where an aligner has no word it stretches those around: so each word accounts for as long as
    its text can take, and a span begins and ends where words do, or speech. Spans with nothing
    but a pause between them come as one. ``words`` and ``speech`` in order of time.
    """
    found: list[Span] = []
    for stretch, own in _by_stretch(words, speech):
        span = _unaccounted(stretch, own, least)
        if span is None:
            continue
        if found and not any(found[-1][1] <= _middle(word) < span[0] for word in words):
            found[-1] = (found[-1][0], span[1])
        else:
            found.append(span)
    return found


def seconds_of(text: str) -> float:
    """The longest that somebody says a word, or a text without a pause, for."""
    return WORD_SECONDS + CHARACTER_SECONDS * size_of(text)


def size_of(text: str) -> int:
    """Its characters, as those of an alphabet."""
    return sum(WIDE if east_asian_width(one) in "WF" else 1 for one in text)


def _by_stretch(words: Sequence[Word], speech: Sequence[Span]) -> Iterator[tuple[Span, list[Word]]]:
    """The words whose middle lies in each stretch of speech."""
    at = 0
    for start, end in speech:
        while at < len(words) and _middle(words[at]) < start:
            at += 1
        first = at
        while at < len(words) and _middle(words[at]) < end:
            at += 1
        yield (start, end), list(words[first:at])


def _unaccounted(stretch: Span, words: Sequence[Word], least: float) -> Span | None:
    """The part of a stretch that is longest beyond what the words in it can take."""
    best = excess = 0.0
    found: Span | None = None
    begin = stretch[0]
    for first, last, takes in _parts(stretch, words):
        if excess <= 0.0:
            excess, begin = 0.0, first
        excess += last - first - takes
        if excess > best:
            best, found = excess, (begin, last)
    return found if best >= least else None


def _parts(stretch: Span, words: Sequence[Word]) -> Iterator[tuple[float, float, float]]:
    """Words and what lies between them: start, end, and the seconds accounted for."""
    at, end = stretch
    for word in words:
        first, last = (min(max(time, at), end) for time in (word.start, word.end))
        yield at, first, 0.0
        yield first, last, seconds_of(word.text)
        at = last
    yield at, end, 0.0


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2
