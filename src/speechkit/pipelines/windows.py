"""Which stretches of a recording an ASR engine is given at a time, and where its times lie."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

JOIN = 0.5  # seconds; speech closer together than this is decoded as one, with its context
PAD = 0.2  # seconds of audio kept before and after speech, where the neighbour leaves room
FRAME = 0.02  # seconds over which loudness is measured to find a place to cut

EDGE = 0.1  # seconds by which a time may miss the seam of two pieces


@dataclass(frozen=True, slots=True)
class Window:
    """Pieces of an utterance, (start, end) in its seconds, that are decoded as one."""

    pieces: tuple[tuple[float, float], ...]

    def cut_from(self, waveform: Waveform, sample_rate: int) -> Waveform:
        import numpy as np

        parts = [
            waveform[round(start * sample_rate) : round(end * sample_rate)]
            for start, end in self.pieces
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def place(self, start: float, end: float) -> tuple[float, float]:
        """Where a stretch of the window lies in the utterance.

        What touches a seam by less than `EDGE` belongs to the piece that holds the rest of it.
        """
        edge = min(EDGE, (end - start) / 2)
        return self._place(start, start + edge), self._place(end, end - edge)

    def place_word(self, start: float, end: float) -> tuple[float, float]:
        """As `place`, but all of it in the piece that holds its middle: no word has a pause in it,
        though an aligner gives it the silence before."""
        middle = (start + end) / 2
        return self._place(start, middle), self._place(end, middle)

    def _place(self, time: float, inside: float) -> float:
        """The time, moved into the piece in which the time ``inside`` lies."""
        before = 0.0
        for first, last in self.pieces:
            after = before + last - first
            if inside < after or (first, last) == self.pieces[-1]:
                break
            before = after
        return min(max(first + time - before, first), last)


def within_speech(
    start: float, end: float, speech: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """The stretch without the pauses at its ends; all of it where it holds no speech.

    ``speech`` (start, end) in order of time.
    """
    first = bisect_right(speech, start, key=lambda one: one[1])
    last = bisect_left(speech, end, key=lambda one: one[0]) - 1
    if first > last:
        return start, end
    return max(start, speech[first][0]), min(end, speech[last][1])


def packed(pieces: Iterable[tuple[float, float]], longest: float) -> list[Window]:
    """The pieces, in order, in as few windows of ``longest`` seconds at most."""
    windows: list[list[tuple[float, float]]] = []
    room = 0.0
    for start, end in pieces:
        if not windows or end - start > room:
            windows.append([])
            room = longest
        windows[-1].append((start, end))
        room -= end - start
    return [Window(tuple(window)) for window in windows]


def united(segments: Iterable[tuple[float, float]], duration: float) -> list[tuple[float, float]]:
    """The segments in order of time, those that overlap as one, without what lies outside."""
    found: list[tuple[float, float]] = []
    for start, end in sorted((max(start, 0.0), min(end, duration)) for start, end in segments):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return found


def overlap(one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> float:
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


def speech_windows(
    segments: Sequence[tuple[float, float]], duration: float, longest: float
) -> list[tuple[float, float]]:
    """The segments, as `united` gives them, joined and padded, ``longest`` at most each.

    A single segment above ``longest`` comes out whole: `cut` divides it.
    """
    joined: list[tuple[float, float]] = []
    for start, end in segments:
        if joined and start - joined[-1][1] < JOIN and end + 2 * PAD - joined[-1][0] <= longest:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    windows: list[tuple[float, float]] = []
    for index, (start, end) in enumerate(joined):
        before = (joined[index - 1][1] + start) / 2 if index else 0.0
        after = (end + joined[index + 1][0]) / 2 if index + 1 < len(joined) else duration
        padded = (max(0.0, start - PAD, before), min(duration, end + PAD, after))
        if padded[1] > padded[0]:
            windows.append(padded)
    return windows


def cut(
    waveform: Waveform, sample_rate: int, window: tuple[float, float], longest: float
) -> list[tuple[float, float]]:
    """The window in contiguous pieces of ``longest`` seconds at most.

    Each cut lies in the quietest `FRAME` of the second half of what is allowed.
    """
    import numpy as np

    start, end = window
    pieces: list[tuple[float, float]] = []
    step = int(FRAME * sample_rate)
    while end - start > longest:
        first = int((start + longest / 2) * sample_rate)
        frames = waveform[first : int((start + longest) * sample_rate)]
        frames = frames[: len(frames) // step * step].reshape(-1, step)
        quietest = int(np.square(frames, dtype=np.float64).sum(axis=1).argmin())
        middle = (first + (quietest + 0.5) * step) / sample_rate
        pieces.append((start, middle))
        start = middle
    return [*pieces, (start, end)]
