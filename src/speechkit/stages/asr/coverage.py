"""Which stretches of speech a transcript says nothing of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from speechkit.records import Word, size_of
from speechkit.stages.asr.windows import Span, overlapping

HOLE = 0.9  # seconds of speech without words that count
# What a word can take, at the pace of the utterance; and the share of a stretch that the words in
# it would take at that pace, below which others are missing. In three passes of 5,700 words of
# LibriSpeech and others, joined with pauses, these found all of 49 places with three and more words
# lost, and 11 others.
WORD_SECONDS = 0.25
PACES = 1.5
LEAST_SHARE = 0.4
FASTEST, TYPICAL, SLOWEST = 0.05, 0.08, 0.2  # seconds a character, of the pace


@dataclass(frozen=True, slots=True)
class _Text:
    """A word in one stretch of speech, or the share of a longer text; ``size`` as `size_of`."""

    start: float
    end: float
    size: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


def unheard(words: Sequence[Word], speech: Sequence[Span]) -> list[Span]:
    """Spans of speech of `HOLE` seconds and more for which no word accounts.

    Where an aligner has no word it stretches those around: so each word accounts for as long as
    its text can take, and a span begins and ends where words do, or speech. Spans with nothing
    but a pause between them come as one. ``words`` and ``speech`` in order of time.
    """
    return _missing(words, speech, _unaccounted)


def suspicious(words: Sequence[Word], speech: Sequence[Span]) -> list[Span]:
    """`unheard`, and stretches with far fewer words than fit: worth a second hearing."""
    return _missing(words, speech, _unaccounted_or_sparse)


def _missing(
    words: Sequence[Word],
    speech: Sequence[Span],
    missing: Callable[[Span, Sequence[_Text], float], Span | None],
) -> list[Span]:
    pace, texts = _pace(words), _shared(words, speech)
    return _joined(
        (missing(stretch, own, pace) for stretch, own in _by_stretch(texts, speech)), texts
    )


def _shared(words: Sequence[Word], speech: Sequence[Span]) -> list[_Text]:
    """A text over several stretches, of an engine that tells no word times, is as much each one's
    as it lies in it."""
    found: list[_Text] = []
    for word in words:
        size = size_of(word.text)
        inside = overlapping(word.start, word.end, speech)
        if len(inside) < 2:
            found.append(_Text(word.start, word.end, size))
            continue
        parts = [(max(word.start, start), min(word.end, end)) for start, end in inside]
        each = size / sum(end - start for start, end in parts)
        found += [_Text(start, end, each * (end - start)) for start, end in parts]
    return found


def _joined(spans: Iterable[Span | None], texts: Sequence[_Text]) -> list[Span]:
    """Without those that are None; those with no text between them as one."""
    found: list[Span] = []
    for span in spans:
        if span is None:
            continue
        if found and not any(found[-1][1] <= text.middle < span[0] for text in texts):
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


def _unaccounted_or_sparse(stretch: Span, texts: Sequence[_Text], pace: float) -> Span | None:
    sparse = stretch if _sparse(stretch, texts, pace) else None
    return _unaccounted(stretch, texts, pace) or sparse


def _sparse(stretch: Span, texts: Sequence[_Text], pace: float) -> bool:
    seconds = stretch[1] - stretch[0]
    said = pace * sum(text.size for text in texts)
    return seconds >= HOLE and said < LEAST_SHARE * seconds


def _by_stretch(
    texts: Sequence[_Text], speech: Sequence[Span]
) -> Iterator[tuple[Span, Sequence[_Text]]]:
    """The texts whose middle lies in each stretch of speech."""
    at = 0
    for start, end in speech:
        while at < len(texts) and texts[at].middle < start:
            at += 1
        first = at
        while at < len(texts) and texts[at].middle < end:
            at += 1
        yield (start, end), texts[first:at]


def _unaccounted(stretch: Span, texts: Sequence[_Text], pace: float) -> Span | None:
    """The part of a stretch that is longest beyond what the texts in it can take."""
    best = excess = 0.0
    found: Span | None = None
    begin = stretch[0]
    for first, last, takes in _parts(stretch, texts, pace):
        if excess <= 0.0:
            excess, begin = 0.0, first
        excess += last - first - takes
        if excess > best:
            best, found = excess, (begin, last)
    return found if best >= HOLE else None


def _parts(
    stretch: Span, texts: Sequence[_Text], pace: float
) -> Iterator[tuple[float, float, float]]:
    """Texts and what lies between them: start, end, and the seconds accounted for."""
    at, end = stretch
    for text in texts:
        first, last = (min(max(time, at), end) for time in (text.start, text.end))
        yield at, first, 0.0
        yield first, last, WORD_SECONDS + PACES * pace * text.size
        at = last
    yield at, end, 0.0
