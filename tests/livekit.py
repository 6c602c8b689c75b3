"""Streams under a virtual clock, and a fast recogniser that hears loudness."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from speechkit.engines.protocols import (
    SAMPLE_RATE,
    AsrEngine,
    Clip,
    LiveDecoder,
    LiveHypothesis,
)
from speechkit.io import typed_json
from speechkit.records import Hypothesis, Word
from speechkit.serving.stream.clock import VirtualClock
from speechkit.serving.stream.events import End, Event, Final, Gap
from speechkit.serving.stream.session import LiveSession
from speechkit.serving.stream.state import SessionState

if TYPE_CHECKING:
    from speechkit.engines.protocols import VadEngine, Waveform
    from speechkit.serving.stream.options import StreamOptions

CELL = 0.25  # seconds of a word of `Loudness`
LOUD = 0.01  # the root mean square of its samples, at least


@dataclass(slots=True)
class Stream:
    """A session, and how to make it again."""

    engine: AsrEngine
    vad: VadEngine
    options: StreamOptions

    def session(
        self, state: SessionState | None = None, clock: VirtualClock | None = None
    ) -> LiveSession:
        return LiveSession(self.engine, self.vad, self.options, clock or VirtualClock(), state)

    def events(self, audio: Waveform, step: float | None = None) -> list[Event]:
        """The events of all the audio, which tile it, with their times; ``step`` in seconds."""
        clock = VirtualClock()
        session = self.session(clock=clock)
        events: list[Event] = []
        for piece in self.pieces(audio, step):
            clock.set(clock.now() + len(piece) / SAMPLE_RATE)
            events += session.feed(piece)
        events += session.finish()
        require_tiled(events)
        return events

    def pieces(self, audio: Waveform, step: float | None = None) -> Iterator[Waveform]:
        samples = round((step or self.options.step) * SAMPLE_RATE)
        for first in range(0, len(audio), samples):
            yield audio[first : first + samples]

    def require_resumable(self, audio: Waveform) -> int:
        """After every step, a new session with the state in JSON says in the next step what this
        one does, and has the same state then. Returns the number of steps."""
        session = self.session()
        heard, steps = 0, 0
        for piece in [*self.pieces(audio), None]:
            state = typed_json.to_dataclass(
                SessionState, json.loads(json.dumps(asdict(session.state)))
            )
            assert state == session.state
            other = self.session(state)
            if heard:
                other.replay(audio[state.replay_from : state.heard])
            if piece is None:
                assert other.finish() == session.finish()
            else:
                assert other.feed(piece) == session.feed(piece)
                assert other.state == session.state
                heard += len(piece)
            steps += 1
        return steps


def require_tiled(events: Iterable[Event]) -> None:
    """Finals and gaps cover the audio, from 0 to its end, each from where the one before ended."""
    at = 0.0
    *inner, end = events
    for event in inner:
        if isinstance(event, Final | Gap):
            assert event.start == at < event.end, f"{event} after {at} s"
            at = event.end
    assert isinstance(end, End)
    assert end.seconds == pytest.approx(at, abs=5e-4)


def said(events: Iterable[Event]) -> list[Word]:
    """The words of all finals."""
    return [word for event in events if isinstance(event, Final) for word in event.words]


class Loudness(AsrEngine):
    """Hears a word in every loud `CELL`, of which the last one of a clip changes as it grows."""

    max_window = 20.0
    least_window = 0.0

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        raise NotImplementedError

    def live(self) -> LiveDecoder:
        return LoudnessDecoder()


class LoudnessDecoder(LiveDecoder):
    longest = Loudness.max_window

    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        at = said[-1].end if said else 0.0
        words: list[Word] = []
        while clip.seconds - at > 0.02:
            first, last = (round(time * SAMPLE_RATE) for time in (at, at + CELL))
            cell = clip.waveform[first:last]
            if float(np.sqrt(np.mean(np.square(cell)))) >= LOUD:
                text = f"{zlib.crc32(cell.tobytes()) % 1000:03}"
                words.append(Word(text, at, min(at + CELL, clip.seconds), 0.9))
            at += CELL
        return LiveHypothesis(tuple(words), "en")


class Remembering(AsrEngine):
    """Another engine, asked for each hypothesis once."""

    def __init__(self, engine: AsrEngine) -> None:
        self._engine = engine
        self.max_window = engine.max_window
        self.least_window = engine.least_window
        self._known: dict[object, LiveHypothesis] = {}
        self.asked = 0

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        return self._engine.transcribe(utterances)

    def live(self) -> LiveDecoder:
        decoder = self._engine.live()
        assert decoder
        return _RememberingDecoder(self, decoder)

    def hypothesis(
        self, decoder: LiveDecoder, clip: Clip, said: Sequence[Word], *, ended: bool
    ) -> LiveHypothesis:
        key = clip.waveform.tobytes(), clip.language, tuple(said), ended
        if key not in self._known:
            self._known[key] = decoder.hear(clip, said, ended=ended)
            self.asked += 1
        return self._known[key]


class _RememberingDecoder(LiveDecoder):
    def __init__(self, owner: Remembering, decoder: LiveDecoder) -> None:
        self._owner = owner
        self._decoder = decoder
        self.longest = decoder.longest

    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        return self._owner.hypothesis(self._decoder, clip, said, ended=ended)


def with_pauses(sentences: Sequence[Waveform], pauses: Sequence[float]) -> Waveform:
    """The sentences, each behind a pause of so many seconds; a last pause may follow."""
    parts: list[Waveform] = []
    for number, pause in enumerate(pauses):
        parts.append(np.zeros(round(pause * SAMPLE_RATE), np.float32))
        parts += sentences[number : number + 1]
    return np.concatenate(parts)
