"""The stretches of speech that a transcript doesn't cover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from speechkit.records import Word, size_of
from speechkit.stages.asr.windows import Span, overlapping

HOLE = 0.9  # seconds: the shortest speech without words that counts
# A word takes at most WORD_SECONDS and PACES times its length at the pace of the utterance. Words
# are missing in a stretch if those in it, at that pace, fill less than LEAST_SHARE of it. In three
# passes over 5,700 words of LibriSpeech and others, joined with pauses, these values detected all
# 49 places with three or more lost words, and 11 other places.
WORD_SECONDS = 0.25
PACES = 1.5
LEAST_SHARE = 0.4
FASTEST, TYPICAL, SLOWEST = 0.05, 0.08, 0.2  # pace: seconds a character


@dataclass(frozen=True, slots=True)
class _Text:
    """A word in a stretch of speech, or a share of a longer text; ``size`` as in `size_of`."""

    start: float
    end: float
    size: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


def unheard(words: Sequence[Word], speech: Sequence[Span]) -> list[Span]:
    """Spans of speech of at least `HOLE` seconds that no word covers.

    An aligner stretches words over missing ones. Therefore each word covers only the time that its
    text can take, and a span begins and ends at words or at the edges of speech. Spans with only a
    pause between them are joined. ``words`` and ``speech`` in order of time.
    """
    return _missing(words, speech, _uncovered)


def suspicious(words: Sequence[Word], speech: Sequence[Span]) -> list[Span]:
    """Spans to decode again: those of `unheard`, and stretches with far fewer words than fit."""
    return _missing(words, speech, _uncovered_or_sparse)


def _missing(
    words: Sequence[Word],
    speech: Sequence[Span],
    missing: Callable[[Span, Sequence[_Text], float], Span | None],
) -> list[Span]:
    pace, texts = _pace(words), _shared(words, speech)
    return _joined(
        (missing(stretch, inside, pace) for stretch, inside in _by_stretch(texts, speech)), texts
    )


def _shared(words: Sequence[Word], speech: Sequence[Span]) -> list[_Text]:
    """The words as texts in single stretches of speech.

    A text over several stretches, from an engine without word times, is shared between them in
    proportion to the time that it spends in each.
    """
    texts: list[_Text] = []
    for word in words:
        size = size_of(word.text)
        inside = overlapping(word.start, word.end, speech)
        if len(inside) < 2:
            texts.append(_Text(word.start, word.end, size))
            continue
        parts = [(max(word.start, start), min(word.end, end)) for start, end in inside]
        each = size / sum(end - start for start, end in parts)
        texts += [_Text(start, end, each * (end - start)) for start, end in parts]
    return texts


def _joined(spans: Iterable[Span | None], texts: Sequence[_Text]) -> list[Span]:
    """The spans that are not None, with those joined that have no text between them."""
    holes: list[Span] = []
    for span in spans:
        if span is None:
            continue
        if holes and not any(holes[-1][1] <= text.middle < span[0] for text in texts):
            holes[-1] = (holes[-1][0], span[1])
        else:
            holes.append(span)
    return holes


def _pace(words: Sequence[Word]) -> float:
    """The median pace of the words, in seconds a character; `TYPICAL` without single words."""
    paces = [
        (word.end - word.start) / max(1, size_of(word.text))
        for word in words
        if " " not in word.text
    ]
    return min(max(median(paces or [TYPICAL]), FASTEST), SLOWEST)


def _uncovered_or_sparse(stretch: Span, texts: Sequence[_Text], pace: float) -> Span | None:
    sparse = stretch if _sparse(stretch, texts, pace) else None
    return _uncovered(stretch, texts, pace) or sparse


def _sparse(stretch: Span, texts: Sequence[_Text], pace: float) -> bool:
    seconds = stretch[1] - stretch[0]
    said = pace * sum(text.size for text in texts)
    return seconds >= HOLE and said < LEAST_SHARE * seconds


def _by_stretch(
    texts: Sequence[_Text], speech: Sequence[Span]
) -> Iterator[tuple[Span, Sequence[_Text]]]:
    """Yield each stretch of speech with the texts that have their middle in it."""
    at = 0
    for start, end in speech:
        while at < len(texts) and texts[at].middle < start:
            at += 1
        first = at
        while at < len(texts) and texts[at].middle < end:
            at += 1
        yield (start, end), texts[first:at]


def _uncovered(stretch: Span, texts: Sequence[_Text], pace: float) -> Span | None:
    """The part of a stretch that most exceeds the time its texts can take; None below `HOLE`."""
    best = excess = 0.0
    hole: Span | None = None
    begin = stretch[0]
    for first, last, takes in _parts(stretch, texts, pace):
        if excess <= 0.0:
            excess, begin = 0.0, first
        excess += last - first - takes
        if excess > best:
            best, hole = excess, (begin, last)
    return hole if best >= HOLE else None


def _parts(
    stretch: Span, texts: Sequence[_Text], pace: float
) -> Iterator[tuple[float, float, float]]:
    """Yield texts and the gaps between them: start, end, and the seconds covered."""
    at, end = stretch
    for text in texts:
        first, last = (min(max(time, at), end) for time in (text.start, text.end))
        yield at, first, 0.0
        yield first, last, WORD_SECONDS + PACES * pace * text.size
        at = last
    yield at, end, 0.0
