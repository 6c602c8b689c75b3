"""One utterance while it is transcribed: its windows, what was heard in them, and what was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, Clip
from speechkit.records import Hypothesis, Segment
from speechkit.stages.asr.implausible_text import with_doubts
from speechkit.stages.asr.speaker_turns import NO_TURNS, Turns
from speechkit.stages.asr.transcript import Transcript
from speechkit.stages.asr.windows import (
    PAD,
    Span,
    Window,
    around_speech,
    cut,
    overlap,
    packed,
    united,
)

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

MOSTLY = 0.9  # of a window decoded in vain: what is as much the same is decoded in parts
PART = 0.6  # of the length, at most
ONE_LANGUAGE = 12.0  # seconds in which the language is taken not to change, and still is told
LEAST_AGAIN = 2.0  # seconds of a hole that is worth another attempt after the first


@dataclass(frozen=True, slots=True)
class Attempt:
    """A window to decode; ``hole``: the span for which it is decoded again."""

    window: Window
    hole: Span | None = None


class Listening:
    """``told``: where an earlier stage has found speech; None: all is decoded. ``judged``: where
    our own VAD has. ``language``: where it is known. ``turns``: those of the input's segments that
    carry keys."""

    def __init__(
        self,
        waveform: Waveform,
        told: Sequence[Span] | None,
        judged: Sequence[Span],
        language: str | None = None,
        turns: Turns = NO_TURNS,
    ) -> None:
        self._waveform = waveform
        self._language = language
        self.seconds = len(waveform) / SAMPLE_RATE
        self._everywhere = told is None
        self._judged = judged
        self.speech = united(judged if told is None else told, self.seconds)
        self.transcript = Transcript(self.speech, turns)
        self._tried: list[Span] = []
        self._fills = 0

    def windows(self, engine: AsrEngine, *, apart: bool = False) -> list[Attempt]:
        """All there is to decode, in windows as the engine takes them; ``apart``: short ones of
        their own, of which each may be in another language."""
        longest = min(engine.max_window, ONE_LANGUAGE) if apart else engine.max_window
        if self._everywhere:
            spans = [(0.0, self.seconds)]
        else:
            spans = around_speech(self.speech, self.seconds)
        pieces = [piece for span in spans for piece in self._cut(span, longest)]
        if engine.least_window and not apart:
            windows = packed(pieces, longest)
        else:
            windows = [Window((piece,)) for piece in pieces]
        return [Attempt(window) for window in windows]

    def holes(self, longest: float) -> list[Attempt]:
        """What to decode once more, each hole by itself."""
        least = LEAST_AGAIN if self._fills else 0.0
        self._fills += 1
        return [
            attempt
            for hole in self.transcript.suspicious()
            if hole[1] - hole[0] >= least
            for attempt in self._again(hole, longest)
        ]

    def turns(self, longest: float) -> list[Attempt]:
        """What to decode once more, turn by turn: texts without word times that nobody can cut
        between turns."""
        return [
            Attempt(Window((piece,)), piece)
            for spans in self.transcript.take_out_undivided()
            for span in self._padded(spans)
            for piece in self._cut(span, longest)
        ]

    def _padded(self, spans: Sequence[Span]) -> list[Span]:
        """Contiguous spans with `PAD` before the first and after the last."""
        edges = [start for start, _ in spans[1:]]
        first, last = max(0.0, spans[0][0] - PAD), min(self.seconds, spans[-1][1] + PAD)
        return list(pairwise([first, *edges, last]))

    def _again(self, hole: Span, longest: float) -> Iterator[Attempt]:
        start, end = max(0.0, hole[0] - PAD), min(self.seconds, hole[1] + PAD)
        if any(_mostly((start, end), span) for span in self._tried):
            longest = min(longest, PART * (end - start))
        for first, last in self._cut((start, end), longest):
            yield Attempt(Window(((first, last),)), (max(first, hole[0]), min(last, hole[1])))

    def segments(self) -> list[Segment]:
        return with_doubts(self.transcript.segments(), self._judged)

    def clip(self, attempt: Attempt) -> Clip:
        window = attempt.window
        language = self._language
        if language is None and attempt.hole:
            language = self.transcript.language_at(attempt.hole[0])
        return Clip(
            window.cut_from(self._waveform, SAMPLE_RATE),
            overlap(self.speech, window.pieces),
            language,
        )

    def take(self, attempt: Attempt, hypothesis: Hypothesis) -> None:
        if len(attempt.window.pieces) == 1:
            self._tried.append(attempt.window.pieces[0])
        if attempt.hole is None:
            self.transcript.add(attempt.window, hypothesis)
        else:
            self.transcript.fill(attempt.hole, attempt.window, hypothesis)

    def _cut(self, span: Span, longest: float) -> list[Span]:
        return cut(self._waveform, SAMPLE_RATE, span, longest, self.speech)


def _mostly(one: Span, other: Span) -> bool:
    """Whether both are about the same."""
    longer = max(one[1] - one[0], other[1] - other[0])
    return overlap([one], [other]) >= MOSTLY * longer
