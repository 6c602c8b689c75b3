"""Live audio through an engine that hears whole clips alone: each clip is transcribed anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from speechkit.engines.protocols import LiveDecoder, LiveHypothesis
from speechkit.records import Segment, Word

if TYPE_CHECKING:
    from speechkit.engines.protocols import AsrEngine, Clip


def live_decoder(engine: AsrEngine) -> LiveDecoder:
    """The engine's own, or a `WholeClips`."""
    return engine.live() or WholeClips(engine)


class WholeClips(LiveDecoder):
    """A LiveDecoder over any engine."""

    def __init__(self, engine: AsrEngine) -> None:
        self._engine = engine
        self.longest = engine.max_window

    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        ((hypothesis,),) = self._engine.transcribe([[clip]])
        words = [word for segment in hypothesis.segments for word in words_of(segment)]
        flags = {flag for segment in hypothesis.segments for flag in segment.flags}
        return LiveHypothesis(
            tuple(after(words, said)), hypothesis.language, flags=tuple(sorted(flags))
        )


def words_of(segment: Segment) -> Sequence[Word]:
    """The words of a segment; its text as one, from an engine without word times."""
    if segment.words or not segment.text:
        return segment.words
    return [Word(segment.text, segment.start, segment.end, segment.confidence)]


def after(words: Sequence[Word], said: Sequence[Word]) -> Sequence[Word]:
    """The words after those ``said``, whose times are a little different in each hypothesis."""
    if not said:
        return words
    last = said[-1]
    rest = [word for word in words if (word.start + word.end) / 2 > last.end]
    repeated = rest and rest[0].start < last.end and rest[0].bare == last.bare
    return rest[1:] if repeated else rest
