"""Which stretches of a recording an ASR engine is given at a time, and where its times lie.

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

JOIN = 2.0  # seconds; speech closer together than this is decoded with the pause between
PAD = 0.5  # seconds of audio kept before and after speech; at most half of `JOIN`
PAUSE = 0.1  # seconds without speech in which to cut rather than at the quietest frame
FRAME = 0.02  # seconds over which loudness is measured to find a place to cut


@dataclass(frozen=True, slots=True)
class Window:
    """Pieces of an utterance, spans of it, that are decoded as one."""

    pieces: tuple[Span, ...]

    def cut_from(self, waveform: Waveform, sample_rate: int) -> Waveform:
        import numpy as np

        parts = [
            waveform[round(start * sample_rate) : round(end * sample_rate)]
            for start, end in self.pieces
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def place(self, start: float, end: float) -> Span:
        """Where a word of the window lies in the utterance: all of it in the piece that holds its
        middle, since no word has a pause in it, though an aligner gives it the silence before."""
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
    """The stretch without the pauses at its ends; all of it where it holds no speech.

    ``speech`` in order of time.
    """
    inside = overlapping(start, end, speech)
    if not inside:
        return start, end
    return max(start, inside[0][0]), min(end, inside[-1][1])


def within_a_stretch(start: float, end: float, speech: Sequence[Span]) -> Span:
    """As `within_speech` for a word, which no pause is in: what lies in the stretch of speech that
    holds most of it."""
    inside = overlapping(start, end, speech)
    if not inside:
        return start, end
    parts = [(max(start, first), min(end, last)) for first, last in inside]
    return max(parts, key=lambda part: part[1] - part[0])


def overlapping(start: float, end: float, speech: Sequence[Span]) -> Sequence[Span]:
    """The stretches of speech that the span has a part in."""
    first = bisect_right(speech, start, key=lambda one: one[1])
    return speech[first : bisect_left(speech, end, key=lambda one: one[0])]


def packed(pieces: Iterable[Span], longest: float) -> list[Window]:
    """The pieces, in order, in as few windows of ``longest`` seconds at most."""
    windows: list[list[Span]] = []
    room = 0.0
    for start, end in pieces:
        if not windows or end - start > room:
            windows.append([])
            room = longest
        windows[-1].append((start, end))
        room -= end - start
    return [Window(tuple(window)) for window in windows]


def united(segments: Iterable[Span], duration: float) -> list[Span]:
    """The segments in order of time, those that overlap as one, without what lies outside."""
    found: list[Span] = []
    for start, end in sorted((max(start, 0.0), min(end, duration)) for start, end in segments):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return found


def overlap(one: Sequence[Span], other: Sequence[Span]) -> float:
    """Seconds that lie in both, each as `united` gives it."""
    total = 0.0
    i = j = 0
    while i < len(one) and j < len(other):
        total += max(0.0, min(one[i][1], other[j][1]) - max(one[i][0], other[j][0]))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return total


def around_speech(speech: Sequence[Span], duration: float) -> list[Span]:
    """The speech, as `united` gives it, with the pauses below `JOIN` and `PAD` on either side."""
    joined: list[Span] = []
    for start, end in speech:
        if joined and start - joined[-1][1] < JOIN:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(max(0.0, start - PAD), min(duration, end + PAD)) for start, end in joined]


def cut(
    waveform: Waveform, sample_rate: int, window: Span, longest: float, speech: Sequence[Span]
) -> list[Span]:
    """The window in contiguous pieces of ``longest`` seconds at most.

    Each cut lies in the second half of what is allowed: in the middle of the longest pause there,
    or in the quietest `FRAME` where the speech has none.
    """
    start, end = window
    pieces: list[Span] = []
    while end - start > longest:
        half = (start + longest / 2, start + longest)
        middle = _longest_pause(half, speech) or _quietest(waveform, sample_rate, half)
        pieces.append((start, middle))
        start = middle
    return [*pieces, (start, end)]


def _longest_pause(window: Span, speech: Sequence[Span]) -> float | None:
    """The middle of the longest pause in the window, None where it has none."""
    start, end = window
    inside = [one for one in speech if one[1] > start and one[0] < end]
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
