"""The transcription of one utterance: its windows, its transcript, and the holes in that."""

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
    cut_at_pauses,
    overlap,
    packed,
    united,
)

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

MOSTLY = 0.9  # overlap with a window decoded in vain above which a hole is decoded in parts
PART = 0.6  # longest part, as a share of the hole
ONE_LANGUAGE = 12.0  # seconds: too short for a change of language, long enough to detect it
LEAST_AGAIN = 2.0  # seconds: the shortest hole worth an attempt after the first


@dataclass(frozen=True, slots=True)
class Attempt:
    """A window to decode; ``hole``: the span for which it is decoded again."""

    window: Window
    hole: Span | None = None


class Recognition:
    """The transcription of ``waveform``.

    ``given_speech``: speech from an earlier stage; None to decode everything. ``judged``: speech
    that asr's VAD hears. ``language``: of the utterance, if known. ``turns``: the input's segments
    with keys to carry over. Spans are in seconds.
    """

    def __init__(
        self,
        waveform: Waveform,
        given_speech: Sequence[Span] | None,
        judged: Sequence[Span],
        language: str | None = None,
        turns: Turns = NO_TURNS,
    ) -> None:
        self._waveform = waveform
        self._language = language
        self.seconds = len(waveform) / SAMPLE_RATE
        self._everywhere = given_speech is None
        self._judged = judged
        self.speech = united(judged if given_speech is None else given_speech, self.seconds)
        self.transcript = Transcript(self.speech, turns)
        self._tried: list[Span] = []
        self._fills = 0

    def windows(self, engine: AsrEngine, *, apart: bool = False) -> list[Attempt]:
        """The windows for a first decoding, with lengths that suit the engine.

        ``apart``: short separate windows, each of which may be in another language.
        """
        longest = min(engine.max_window, ONE_LANGUAGE) if apart else engine.max_window
        if self._everywhere:
            spans = [(0.0, self.seconds)]
        else:
            spans = around_speech(self.speech, self.seconds)
        pieces = [piece for span in spans for piece in self._cut(span, longest)]
        if engine.least_window and not apart:
            windows = packed(pieces, longest, engine.short_window)
        else:
            windows = [Window((piece,)) for piece in pieces]
        return [Attempt(window) for window in windows]

    def holes(self, longest: float) -> list[Attempt]:
        """Attempts to decode the holes of the transcript, each hole by itself."""
        least = LEAST_AGAIN if self._fills else 0.0
        self._fills += 1
        return [
            attempt
            for hole in self.transcript.suspicious()
            if hole[1] - hole[0] >= least
            for attempt in self._again(hole, longest)
        ]

    def turns(self, longest: float) -> list[Attempt]:
        """Attempts to decode texts again turn by turn, because without word times they can't be
        divided between turns."""
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
            self.transcript.improve(attempt.hole, attempt.window, hypothesis)

    def _cut(self, span: Span, longest: float) -> list[Span]:
        return cut_at_pauses(self._waveform, SAMPLE_RATE, span, longest, self.speech)


def _mostly(span: Span, other: Span) -> bool:
    """Whether two spans are about the same."""
    longer = max(span[1] - span[0], other[1] - other[0])
    return overlap([span], [other]) >= MOSTLY * longer
