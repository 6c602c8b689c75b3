"""The session of a stream, with a real VAD, real speech and a recogniser that hears loudness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from livekit import CELL, Loudness, LoudnessDecoder, Stream, said, with_pauses
from speechkit.engines import registry
from speechkit.engines.asr.live import after
from speechkit.engines.protocols import SAMPLE_RATE, Clip, LiveDecoder, LiveHypothesis
from speechkit.errors import UsageError
from speechkit.io import audio
from speechkit.records import Word
from speechkit.serving.stream.buffer import AudioBuffer
from speechkit.serving.stream.events import End, Final, Gap, Partial
from speechkit.serving.stream.options import AGREEMENT, ATTENTION, StreamOptions
from speechkit.serving.stream.policy import FIRST, final_words

if TYPE_CHECKING:
    from speechkit.engines.protocols import VadEngine, Waveform

STEP = 0.5  # seconds
OPTIONS = StreamOptions(step=STEP, policy=ATTENTION, margin=0.5, pause=0.4, buffer=12.0)
LONGEST_REPLAY = 45.0  # seconds


@pytest.fixture(scope="module")
def vad() -> VadEngine:
    engine: VadEngine = registry.create("vad", "silero")
    return engine


@pytest.fixture(scope="module")
def sentences(examples: Path) -> list[Waveform]:
    """Spoken sentences, without the silence around them."""
    paths = sorted(examples.glob("*/*.flac"))
    read = [audio.load(str(path), sample_rate=SAMPLE_RATE).waveform for path in paths]
    loud = [np.flatnonzero(np.abs(one) > 0.02) for one in read]
    return [one[at[0] : at[-1]] for one, at in zip(read, loud, strict=True)]


@pytest.fixture(scope="module")
def talk(sentences: list[Waveform]) -> Waveform:
    """A minute or so, with short and long pauses."""
    return with_pauses(sentences[:7], [0.3, 0.5, 2.5, 0.2, 25.0, 1.0, 0.3, 3.0])


class Inattentive(Loudness):
    """Hears the first two seconds of a clip alone."""

    def live(self) -> LiveDecoder:
        return Distracted()


class Distracted(LoudnessDecoder):
    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        found = super().hear(clip, said, ended=ended)
        return replace(found, words=tuple(word for word in found.words if word.end < 2.0))


class ShortOfBreath(Loudness):
    """Hears clips of two seconds at most."""

    max_window = 2.0

    def __init__(self) -> None:
        self.asked = 0

    def live(self) -> LiveDecoder:
        return Breathless(self)


class Breathless(LoudnessDecoder):
    longest = ShortOfBreath.max_window

    def __init__(self, engine: ShortOfBreath) -> None:
        self._engine = engine

    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        assert clip.seconds <= self.longest
        self._engine.asked += 1
        assert self._engine.asked < 1000, "it hears the same again and again"
        return super().hear(clip, said, ended=ended)


class Deaf(Loudness):
    """Hears no words."""

    def live(self) -> LiveDecoder:
        return Silent()


class Silent(LiveDecoder):
    longest = 20.0

    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        return LiveHypothesis()


def test_words_are_final_in_order_and_as_soon_as_the_policy_allows(
    vad: VadEngine, talk: Waveform
) -> None:
    events = Stream(Loudness(), vad, OPTIONS).events(talk)
    words = said(events)
    assert len(words) > 80
    edges = [time for word in words for time in (word.start, word.end)]
    assert edges == sorted(edges)
    for event in events:
        assert not isinstance(event, Final | Partial) or event.emitted >= event.end
    late = [event.emitted - event.words[-1].end for event in events if isinstance(event, Final)]
    assert max(late) < FIRST + STEP
    assert np.median(late) < OPTIONS.margin + STEP + CELL


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "seconds"), [(ATTENTION, 45), (AGREEMENT, 12)])
def test_a_stream_goes_on_from_its_state_after_any_step(
    vad: VadEngine, talk: Waveform, policy: str, seconds: int
) -> None:
    stream = Stream(Loudness(), vad, replace(OPTIONS, policy=policy))
    assert stream.require_resumable(talk[: seconds * SAMPLE_RATE]) > seconds / STEP


def test_audio_that_comes_all_at_once_loses_nothing(vad: VadEngine, talk: Waveform) -> None:
    stream = Stream(Loudness(), vad, OPTIONS)
    steps = {step: said(stream.events(talk, step)) for step in (STEP, 3.7, 1000.0)}
    seconds = {step: sum(word.end - word.start for word in words) for step, words in steps.items()}
    assert seconds[1000.0] == pytest.approx(seconds[STEP], rel=0.03)
    assert seconds[3.7] == pytest.approx(seconds[STEP], rel=0.03)


def test_audio_that_ends_in_a_word_gives_it(vad: VadEngine, sentences: list[Waveform]) -> None:
    for seconds in (1.4, 1.61, 1.87):
        cut = sentences[0][: round(seconds * SAMPLE_RATE)]
        *_, last = said(Stream(Loudness(), vad, OPTIONS).events(cut))
        assert last.end > seconds - CELL


def test_silence_is_a_gap(vad: VadEngine, sentences: list[Waveform]) -> None:
    stream = Stream(Loudness(), vad, OPTIONS)
    nothing = np.zeros(60 * SAMPLE_RATE, np.float32)
    assert stream.events(nothing) == [
        Gap(start=0.0, end=60.0, emitted=60.0, reason="silence"),
        End(seconds=60.0, emitted=60.0),
    ]
    events = stream.events(np.concatenate((nothing, sentences[0])))
    gap = next(event for event in events if isinstance(event, Gap))
    assert gap.end == pytest.approx(60.0, abs=CELL)
    assert stream.events(nothing[:0]) == [End(seconds=0.0, emitted=0.0)]


def test_clips_no_longer_than_a_step(vad: VadEngine, sentences: list[Waveform]) -> None:
    """Each begins later than the one before."""
    talk = with_pauses(sentences[:2], [0.3, 0.5])
    for step in (0.5, 5.0):
        engine = ShortOfBreath()
        events = Stream(engine, vad, replace(OPTIONS, step=step)).events(talk)
        seconds = sum(word.end - word.start for word in said(events))
        assert seconds == pytest.approx(len(talk) / SAMPLE_RATE - 0.8, rel=0.3)
        assert engine.asked < 100


def test_speech_without_words_is_a_gap_of_its_own(vad: VadEngine, talk: Waveform) -> None:
    events = Stream(Deaf(), vad, OPTIONS).events(talk)
    gaps = [event for event in events if isinstance(event, Gap)]
    assert len(gaps) + 1 == len(events)
    without = sum(gap.end - gap.start for gap in gaps if gap.reason == "no_words")
    assert without == pytest.approx(len(talk) / SAMPLE_RATE - 32, rel=0.15)


def test_speech_that_is_left_without_words_is_heard_once_more(
    vad: VadEngine, sentences: list[Waveform]
) -> None:
    sentence = with_pauses(sentences[2:3], [0.5, 1.0])
    events = Stream(Inattentive(), vad, OPTIONS).events(sentence)
    seconds = sum(word.end - word.start for word in said(events))
    assert seconds == pytest.approx(len(sentences[2]) / SAMPLE_RATE, rel=0.3)
    assert all(gap.reason == "silence" for gap in events if isinstance(gap, Gap))


def test_little_audio_is_kept(vad: VadEngine, sentences: list[Waveform]) -> None:
    for heard in (np.concatenate(sentences), np.zeros(90 * SAMPLE_RATE, np.float32)):
        stream = Stream(Loudness(), vad, OPTIONS)
        session = stream.session()
        for piece in stream.pieces(heard):
            session.feed(piece)
            state = session.state
            assert state.heard - state.replay_from < LONGEST_REPLAY * SAMPLE_RATE
            assert len(state.said) < 20 / CELL


def test_the_buffer_forgets(sentences: list[Waveform]) -> None:
    buffer = AudioBuffer(100)
    for piece in sentences[:3]:
        buffer.append(piece)
    whole = np.concatenate(sentences[:3])
    buffer.forget(5000)
    buffer.forget(4000)
    assert buffer.end == 100 + len(whole)
    assert np.array_equal(buffer.between(0, 9000), whole[4900:8900])


def words(*texts: str, each: float = 1.0) -> tuple[Word, ...]:
    return tuple(Word(text, each * at, each * (at + 1)) for at, text in enumerate(texts))


def test_policies() -> None:
    heard, before = words("One", "two,", "three", "fore"), words("one", "two", "tree")
    hypothesis = LiveHypothesis(heard)
    agreement = replace(OPTIONS, policy=AGREEMENT)
    assert final_words(hypothesis, before, 0.0, 4.0, agreement) == 2
    assert final_words(hypothesis, before, -1.0, 2.49, agreement) == 1
    assert final_words(hypothesis, (), 0.0, 4.0, agreement) == 0
    assert final_words(hypothesis, (), 0.0, 4.0, OPTIONS) == 3
    assert final_words(hypothesis, (), 0.0, 3.49, OPTIONS) == 2
    assert final_words(hypothesis, before, 1.6, 4.0, OPTIONS) == 0
    assert final_words(replace(hypothesis, stable=1), before, 1.6, 4.0, OPTIONS) == 1
    doubtful = replace(hypothesis, flags=("doubtful",))
    assert final_words(doubtful, before, 0.0, 4.0, OPTIONS) == 0
    assert final_words(replace(doubtful, stable=1), before, 0.0, 4.0, agreement) == 1


def test_an_engine_that_hears_whole_clips_repeats_no_word() -> None:
    heard = words("one", "two", "three")
    assert after(heard, ()) == heard
    for end in (1.9, 2.0, 2.2):
        assert after(heard, [replace(heard[1], end=end)]) == [heard[2]]
    late = [replace(word, start=word.start + 0.6, end=word.end + 0.6) for word in heard]
    assert after(late, [heard[1]]) == [late[2]]


@pytest.mark.parametrize(
    ("name", "value"), [("step", 0.0), ("policy", "none"), ("pause", 0.1), ("buffer", 100.0)]
)
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{name} "):
        StreamOptions(**{name: value})  # type: ignore[arg-type]
