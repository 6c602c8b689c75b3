"""Live transcription of one stream of audio: samples in, events out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from speechkit.engines.asr.live import live_decoder
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, Clip, LiveHypothesis, VadEngine
from speechkit.records import Word
from speechkit.serving.stream.buffer import AudioBuffer
from speechkit.serving.stream.events import End, Event, Partial
from speechkit.serving.stream.policy import final_words
from speechkit.serving.stream.speech_gate import SpeechGate
from speechkit.serving.stream.state import SessionState
from speechkit.serving.stream.tiling import SHORTEST_FINAL, Tiling
from speechkit.stages.asr.coverage import HOLE
from speechkit.stages.asr.windows import PAD, overlap

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform
    from speechkit.serving.stream.clock import Clock
    from speechkit.serving.stream.options import StreamOptions

KEPT = 4.0  # seconds of a clip, at most, that are heard again after a cut while somebody speaks
TELLING = 4.0  # seconds of speech in a clip, which tell the language of the stream
AGAIN = 1.0  # seconds that a clip has to begin later, to be heard once more
SILENT = 20.0  # seconds without speech, after which the VAD begins anew


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Speech in seconds of the stream, without long pauses; ``over``: a long pause follows."""

    start: float
    end: float
    over: bool


class LiveSession:
    """Maps a stream of audio to events.

    What it says depends on the samples, and on the pieces in which they are fed, alone. The clock
    only tells when.
    """

    def __init__(
        self,
        engine: AsrEngine,
        vad: VadEngine,
        options: StreamOptions,
        clock: Clock,
        state: SessionState | None = None,
    ) -> None:
        self._state = state or SessionState()
        self._engine = engine
        self._options = options
        self._clock = clock
        self._gate = SpeechGate(vad, options.segmentation)
        self._audio = AudioBuffer(self._state.replay_from)
        self._tiling = Tiling(self._state.settled, clock)
        self._decoder = live_decoder(engine)
        self._longest = _sample(self._decoder.longest)
        self._finished = False
        longest = min(options.buffer, self._decoder.longest)
        room = max(longest - options.step, longest / 2)
        self._room, self._kept = _sample(room), min(KEPT, room / 2)

    @property
    def state(self) -> SessionState:
        return replace(self._state, heard=self._audio.end, settled=self._tiling.settled)

    def replay(self, waveform: Waveform) -> None:
        """Hear again the audio from `SessionState.replay_from` on, before the first feed."""
        self._audio.append(waveform)
        self._restart_gate()

    def feed(self, waveform: Waveform) -> list[Event]:
        self._audio.append(waveform)
        self._gate.feed(waveform)
        return list(self._advance())

    def finish(self) -> list[Event]:
        """The events at the end of the audio."""
        self._finished = True
        self._gate.finish()
        seconds = self._audio.end / SAMPLE_RATE
        return [
            *self._advance(),
            *self._tiling.gap(seconds, self._gate.speech()),
            End(seconds=seconds, emitted=self._clock.now()),
        ]

    def _advance(self) -> Iterator[Event]:
        """Hear what is new of the speech."""
        while stretch := self._stretch():
            begin, end = self._begin(stretch), self._audio.end
            if stretch.over:
                end = min(end, _sample(stretch.end + self._options.pause))
            fits = end - begin <= self._longest
            if stretch.over and fits:
                yield from self._hear_out(begin, end, stretch)
            elif fits and not self._gate.is_open:
                break  # perhaps the speech is over
            else:
                yield from self._hear(begin, min(end, begin + self._longest))
                if fits:
                    break
        self._rest()

    def _stretch(self) -> _Stretch | None:
        """The first stretch of speech whose words are not all final."""
        spans = [span for span in self._gate.speech() if span[1] > self._state.ended]
        if not spans:
            return None
        for before, after in pairwise(spans):
            if after[0] - before[1] >= self._options.pause:
                return _Stretch(spans[0][0], before[1], over=True)
        start, end = spans[0][0], spans[-1][1]
        silence = 0.0 if self._gate.is_open else self._gate.known - end
        return _Stretch(start, end, self._finished or silence >= self._options.pause)

    def _begin(self, stretch: _Stretch) -> int:
        """The sample at which the clip of a stretch begins."""
        begin = self._state.begin
        if begin is None:
            begin = max(self._state.anchor, _sample(stretch.start - PAD))
            self._state = replace(self._state, begin=begin)
        return begin

    def _hear(self, begin: int, end: int) -> Iterator[Event]:
        """A hypothesis while somebody speaks, of which some words are final."""
        hypothesis = self._hypothesis(begin, end, ended=False)
        seconds = end / SAMPLE_RATE
        start = begin / SAMPLE_RATE
        count = final_words(hypothesis, self._state.previous, start, seconds, self._options)
        final, rest = hypothesis.words[:count], hypothesis.words[count:]
        yield from self._settle(final, hypothesis)
        if rest or self._state.previous:
            yield Partial(
                start=rest[0].start if rest else self._tiling.settled,
                end=rest[-1].end if rest else seconds,
                emitted=self._clock.now(),
                words=rest,
                language=hypothesis.language,
            )
        self._state = replace(self._state, previous=rest)
        if end - begin > self._room:
            yield from self._cut(end, hypothesis)

    def _hear_out(self, begin: int, end: int, stretch: _Stretch) -> Iterator[Event]:
        """The last hypothesis of a stretch, whose words are all final.

        Speech that is left without words is heard once more, alone.
        """
        hypothesis = self._hypothesis(begin, end, ended=True)
        yield from self._settle(hypothesis.words, hypothesis)
        rest = max(self._tiling.settled, stretch.start)
        if stretch.end - rest >= HOLE:
            again = _sample(rest - PAD)
            if again - begin >= AGAIN * SAMPLE_RATE:
                self._start_anew(again, begin=again)
                return
            yield from self._tiling.gap(stretch.end, self._gate.speech())
        self._start_anew(_sample(stretch.end + self._options.pause), ended=stretch.end)

    def _hypothesis(self, begin: int, end: int, *, ended: bool) -> LiveHypothesis:
        """What is heard behind the words said; times in seconds of the stream."""
        start = begin / SAMPLE_RATE
        speech = overlap(self._gate.speech(), [(start, end / SAMPLE_RATE)])
        clip = Clip(self._audio.between(begin, end), speech, self._state.language)
        said = [_moved(word, -start) for word in self._state.said]
        found = self._decoder.hear(clip, said, ended=ended)
        if clip.speech >= TELLING:
            self._state = replace(self._state, language=found.language)
        words = [_moved(word, start) for word in found.words]
        return replace(found, words=_in_order(words, self._tiling.settled, end / SAMPLE_RATE))

    def _settle(self, words: Sequence[Word], hypothesis: LiveHypothesis) -> Iterator[Event]:
        if not words or self._audio.end / SAMPLE_RATE - self._tiling.settled < SHORTEST_FINAL:
            return
        self._state = replace(self._state, said=(*self._state.said, *words), previous=())
        yield from self._tiling.final(
            words, hypothesis.language, hypothesis.flags, self._gate.speech()
        )

    def _cut(self, end: int, hypothesis: LiveHypothesis) -> Iterator[Event]:
        """Let the clip begin later, between two words, while somebody speaks."""
        latest = end / SAMPLE_RATE - self._kept
        said = self._state.said
        pauses = [
            (after.start - before.end, (before.end + after.start) / 2)
            for before, after in zip(said, (*said, *self._state.previous)[1:], strict=False)
            if before.end <= latest
        ]
        at = max(pauses)[1] if pauses else latest
        rest = self._state.previous
        if not pauses:
            overdue = [word for word in rest if word.end <= at]
            rest = rest[len(overdue) :]
            yield from self._settle(overdue, hypothesis)
            yield from self._tiling.gap(at, self._gate.speech())
        said = tuple(word for word in self._state.said if word.end > at)
        self._start_anew(_sample(at), begin=_sample(at), ended=at, said=said, previous=rest)

    def _rest(self) -> None:
        """Forget the audio of a long silence."""
        known = self._gate.known
        if self._stretch() is None and known - self._state.anchor / SAMPLE_RATE >= SILENT:
            self._start_anew(_sample(known - PAD))

    def _start_anew(self, anchor: int, **changes: Any) -> None:
        """Forget what was before a sample, and hear the audio behind it with a VAD begun anew."""
        anchor = min(anchor, self._audio.end)
        fresh = {"begin": None, "said": (), "previous": ()}
        self._state = replace(
            self._state, anchor=anchor, peak=self._gate.peak, **{**fresh, **changes}
        )
        self._audio.forget(self._state.replay_from)
        self._decoder = live_decoder(self._engine)
        self._restart_gate()

    def _restart_gate(self) -> None:
        state = self._state
        warm_up = self._audio.between(state.replay_from, state.anchor)
        self._gate.restart(warm_up, state.anchor, state.peak)
        self._gate.feed(self._audio.between(state.anchor, self._audio.end))
        if self._finished:
            self._gate.finish()


def _sample(seconds: float) -> int:
    return max(0, round(seconds * SAMPLE_RATE))


def _moved(word: Word, by: float) -> Word:
    chars = tuple(_moved(char, by) for char in word.chars)
    return replace(word, start=word.start + by, end=word.end + by, chars=chars)


def _in_order(words: Sequence[Word], first: float, last: float) -> tuple[Word, ...]:
    """The words with times from ``first`` to ``last``, in order, in whole milliseconds."""
    last = math.floor(last * 1000) / 1000
    placed: list[Word] = []
    for word in words:
        start = min(max(first, round(word.start, 3)), last)
        first = min(max(start, round(word.end, 3)), last)
        placed.append(replace(word, start=start, end=first))
    return tuple(placed)
