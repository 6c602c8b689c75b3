"""Which stretches of speech a transcript says nothing of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from unicodedata import east_asian_width

from speechkit.pipelines.windows import Span
from speechkit.records import Word

HOLE = 0.9  # seconds of speech without words that count
# What a word can take, at the pace of the utterance; and the share of a stretch that the words in
# it would take at that pace, below which others are missing. In three passes of 5,700 words of
# LibriSpeech and others, joined with pauses, these found all of 49 places with three and more words
# lost, and 11 others.
WORD_SECONDS = 0.25
PACES = 1.5
LEAST_SHARE = 0.4
FASTEST, TYPICAL, SLOWEST = 0.05, 0.08, 0.2  # seconds a character, of the pace
WIDE = 3  # letters' worth of a character that stands for a syllable or a word
DIGIT = 4  # letters' worth of a digit: 1813 is eighteen thirteen


def unheard(words: Sequence[Word], speech: Sequence[Span]) -> list[Span]:
    """Spans of speech of `HOLE` seconds and more for which no word accounts.

    Where an aligner has no word it stretches those around: so each word accounts for as long as
    its text can take, and a span begins and ends where words do, or speech. Spans with nothing
    but a pause between them come as one. ``words`` and ``speech`` in order of time.
    """
    pace = _pace(words)
    return _joined(
        (_unaccounted(stretch, own, pace) for stretch, own in _by_stretch(words, speech)), words
    )


def suspicious(words: Sequence[Word], speech: Sequence[Span]) -> list[Span]:
    """`unheard`, and stretches with far fewer words than fit: worth a second hearing."""
    pace = _pace(words)
    return _joined(
        (
            _unaccounted(stretch, own, pace) or (stretch if _sparse(stretch, own, pace) else None)
            for stretch, own in _by_stretch(words, speech)
        ),
        words,
    )


def _joined(spans: Iterable[Span | None], words: Sequence[Word]) -> list[Span]:
    """Without those that are None; those with no word between them as one."""
    found: list[Span] = []
    for span in spans:
        if span is None:
            continue
        if found and not any(found[-1][1] <= _middle(word) < span[0] for word in words):
            found[-1] = (found[-1][0], span[1])
        else:
            found.append(span)
    return found


def _pace(words: Sequence[Word]) -> float:
    """Seconds a character, of the middle word; `TYPICAL` where no single words are known."""
    paces = [
        (word.end - word.start) / max(1, size_of(word.text))
        for word in words
        if " " not in word.text
    ]
    return min(max(median(paces or [TYPICAL]), FASTEST), SLOWEST)


def _sparse(stretch: Span, words: Sequence[Word], pace: float) -> bool:
    seconds = stretch[1] - stretch[0]
    said = pace * sum(size_of(word.text) for word in words)
    return seconds >= HOLE and said < LEAST_SHARE * seconds


def size_of(text: str) -> int:
    """How long a text is to say, in letters of an alphabet."""
    return sum(
        DIGIT if one.isdigit() else WIDE if east_asian_width(one) in "WF" else 1
        for one in text
        if one.isalnum()
    )


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


def _unaccounted(stretch: Span, words: Sequence[Word], pace: float) -> Span | None:
    """The part of a stretch that is longest beyond what the words in it can take."""
    best = excess = 0.0
    found: Span | None = None
    begin = stretch[0]
    for first, last, takes in _parts(stretch, words, pace):
        if excess <= 0.0:
            excess, begin = 0.0, first
        excess += last - first - takes
        if excess > best:
            best, found = excess, (begin, last)
    return found if best >= HOLE else None


def _parts(
    stretch: Span, words: Sequence[Word], pace: float
) -> Iterator[tuple[float, float, float]]:
    """Words and what lies between them: start, end, and the seconds accounted for."""
    at, end = stretch
    for word in words:
        first, last = (min(max(time, at), end) for time in (word.start, word.end))
        yield at, first, 0.0
        yield first, last, WORD_SECONDS + PACES * pace * size_of(word.text)
        at = last
    yield at, end, 0.0


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2
