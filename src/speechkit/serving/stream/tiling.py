"""Finals and gaps that tile the audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from speechkit.records import Segment, Word
from speechkit.serving.stream.events import Final, Gap, Settled
from speechkit.stages.asr.coverage import HOLE
from speechkit.stages.asr.implausible_text import with_doubts
from speechkit.stages.asr.windows import Span, overlapping

if TYPE_CHECKING:
    from speechkit.serving.stream.clock import Clock

LEAST_GAP = 0.5  # seconds: shorter ones belong to the final behind them
SHORTEST_FINAL = 0.02  # seconds of a final


class Tiling:
    """Makes finals and gaps, each of which begins at ``settled``, where the one before ended."""

    def __init__(self, settled: float, clock: Clock) -> None:
        self.settled = settled
        self._clock = clock

    def final(
        self,
        words: Sequence[Word],
        language: str | None,
        flags: tuple[str, ...],
        speech: Sequence[Span],
    ) -> Iterator[Settled]:
        """The words, behind a gap if they begin `LEAST_GAP` later."""
        if words[0].start - self.settled >= LEAST_GAP:
            yield from self.gap(words[0].start, speech)
        end = max(words[-1].end, round(self.settled + SHORTEST_FINAL, 3))
        yield Final(
            start=self.settled,
            end=end,
            emitted=self._clock.now(),
            words=tuple(replace(word, chars=()) for word in words),
            language=language,
            flags=_with_doubts(words, flags, speech),
        )
        self.settled = end

    def gap(self, end: float, speech: Sequence[Span]) -> Iterator[Gap]:
        """Gaps up to ``end``; those with speech are named so."""
        for reason, until in _reasons((self.settled, end), speech):
            yield Gap(start=self.settled, end=until, emitted=self._clock.now(), reason=reason)
            self.settled = until


def _reasons(span: Span, speech: Sequence[Span]) -> list[tuple[str, float]]:
    """The reasons of the gaps in a span, each with its end."""
    start, end = span
    if start >= end:
        return []
    inside = [(max(start, a), min(end, b)) for a, b in overlapping(start, end, speech)]
    if sum(last - first for first, last in inside) < HOLE:
        return [("silence", end)]
    first, last = inside[0][0], inside[-1][1]
    edges = [
        start,
        first if first - start >= LEAST_GAP else start,
        last if end - last >= LEAST_GAP else end,
        end,
    ]
    named = zip(("silence", "no_words", "silence"), pairwise(edges), strict=True)
    return [(reason, until) for reason, (since, until) in named if until > since]


def _with_doubts(
    words: Sequence[Word], flags: tuple[str, ...], speech: Sequence[Span]
) -> tuple[str, ...]:
    sure = [word.confidence for word in words if word.confidence is not None]
    text = "".join(word.text for word in words)
    segment = Segment(
        words[0].start,
        words[-1].end,
        text,
        confidence=fmean(sure) if sure else None,
        flags=flags,
    )
    return with_doubts([segment], speech)[0].flags
