"""The windows of a recording that an ASR engine decodes, and the times in them.

A span is (start, end) in seconds of the utterance.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

Span = tuple[float, float]

JOIN = 2.0  # seconds: shorter pauses are decoded with the speech around them
PAD = 0.5  # seconds of audio kept before and after speech; at most half of `JOIN`
PAUSE = 0.1  # seconds: the shortest pause for a cut, instead of the quietest frame
FRAME = 0.02  # seconds: the frames for the search of the quietest one


@dataclass(frozen=True, slots=True)
class Window:
    """Spans of an utterance that are decoded together."""

    pieces: tuple[Span, ...]

    def cut_from(self, waveform: Waveform, sample_rate: int) -> Waveform:
        import numpy as np

        parts = [
            waveform[round(start * sample_rate) : round(end * sample_rate)]
            for start, end in self.pieces
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def place(self, start: float, end: float) -> Span:
        """The span in the utterance of a word of the window.

        The word lies entirely in the piece with its middle, because words contain no pauses, even
        if an aligner adds the silence before them.
        """
        middle = (start + end) / 2
        before = 0.0
        for first, last in self.pieces:
            after = before + last - first
            if middle < after or (first, last) == self.pieces[-1]:
                break
            before = after
        return (
            min(max(first + start - before, first), last),
            min(max(first + end - before, first), last),
        )


def within_speech(start: float, end: float, speech: Sequence[Span]) -> Span:
    """The span without the pauses at its ends; unchanged if it contains no speech.

    ``speech`` in order of time.
    """
    inside = overlapping(start, end, speech)
    if not inside:
        return start, end
    return max(start, inside[0][0]), min(end, inside[-1][1])


def within_a_stretch(start: float, end: float, speech: Sequence[Span]) -> Span:
    """The part of a word's span in the stretch of speech that contains most of it.

    Words contain no pauses. Without speech, the span is unchanged.
    """
    inside = overlapping(start, end, speech)
    if not inside:
        return start, end
    parts = [(max(start, first), min(end, last)) for first, last in inside]
    return max(parts, key=lambda part: part[1] - part[0])


def overlapping(start: float, end: float, speech: Sequence[Span]) -> Sequence[Span]:
    """The stretches of speech that overlap the span."""
    first = bisect_right(speech, start, key=lambda span: span[1])
    return speech[first : bisect_left(speech, end, key=lambda span: span[0])]


def packed(pieces: Iterable[Span], longest: float, short: float = 0.0) -> list[Window]:
    """The pieces in order, in windows of at most ``longest`` seconds, as few as possible.

    Pieces of at most ``short`` seconds come among themselves, in windows of at most that.
    """
    windows: list[list[Span]] = []
    limit = room = 0.0
    for start, end in pieces:
        seconds = end - start
        fitting = short if seconds <= short else longest
        if not windows or fitting != limit or seconds > room:
            windows.append([])
            limit = room = fitting
        windows[-1].append((start, end))
        room -= seconds
    return [Window(tuple(window)) for window in windows]


def united(segments: Iterable[Span], duration: float) -> list[Span]:
    """The segments in order of time, joined where they overlap, and clipped to the duration."""
    union: list[Span] = []
    for start, end in sorted((max(start, 0.0), min(end, duration)) for start, end in segments):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        elif start < end:
            union.append((start, end))
    return union


def overlap(spans: Sequence[Span], others: Sequence[Span]) -> float:
    """The seconds that lie in both; each in the form that `united` returns."""
    total = 0.0
    i = j = 0
    while i < len(spans) and j < len(others):
        total += max(0.0, min(spans[i][1], others[j][1]) - max(spans[i][0], others[j][0]))
        if spans[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
    return total


def around_speech(speech: Sequence[Span], duration: float) -> list[Span]:
    """The speech with pauses shorter than `JOIN` filled, and `PAD` seconds on either side.

    ``speech`` in the form that `united` returns.
    """
    joined: list[Span] = []
    for start, end in speech:
        if joined and start - joined[-1][1] < JOIN:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(max(0.0, start - PAD), min(duration, end + PAD)) for start, end in joined]


def cut_at_pauses(
    waveform: Waveform, sample_rate: int, window: Span, longest: float, speech: Sequence[Span]
) -> list[Span]:
    """The window in contiguous pieces of at most ``longest`` seconds.

    Each cut lies in the second half of the longest possible piece, at the `pause_in` it.
    """
    start, end = window
    pieces: list[Span] = []
    while end - start > longest:
        half = (start + longest / 2, start + longest)
        middle = pause_in(half, waveform, sample_rate, speech)
        pieces.append((start, middle))
        start = middle
    return [*pieces, (start, end)]


def pause_in(span: Span, waveform: Waveform, sample_rate: int, speech: Sequence[Span]) -> float:
    """The middle of the longest pause in a span or, without a pause, of the quietest `FRAME`."""
    return _longest_pause(span, speech) or _quietest(waveform, sample_rate, span)


def _longest_pause(window: Span, speech: Sequence[Span]) -> float | None:
    """The middle of the longest pause in the window, None without a pause."""
    start, end = window
    inside = [span for span in speech if span[1] > start and span[0] < end]
    edges = [(start, start), *inside, (end, end)]
    pauses = [(min(b[0], end) - max(a[1], start), a[1], b[0]) for a, b in pairwise(edges)]
    length, first, last = max(pauses)
    return (max(first, start) + min(last, end)) / 2 if length >= PAUSE else None


def _quietest(waveform: Waveform, sample_rate: int, window: Span) -> float:
    import numpy as np

    step = int(FRAME * sample_rate)
    first, last = (int(time * sample_rate) for time in window)
    frames = waveform[first:last]
    frames = frames[: len(frames) // step * step].reshape(-1, step)
    quietest = int(np.square(frames, dtype=np.float64).sum(axis=1).argmin())
    return (first + (quietest + 0.5) * step) / sample_rate
