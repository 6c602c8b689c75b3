"""Live audio through both Whispers, with the published weights of tiny.en and base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from audiokit import whole
from livekit import Remembering, Stream, said, with_pauses
from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine
from speechkit.io import audio
from speechkit.records import Word, text_of
from speechkit.serving.stream.options import StreamOptions

if TYPE_CHECKING:
    from speechkit.engines.protocols import LiveDecoder, VadEngine, Waveform

ENGINES = ["whisper", "faster-whisper"]
LANGUAGES = Path(__file__).resolve().parents[2] / "examples" / "languages"
STEP = 1.0  # seconds
TOLD = [
    "The doctor said that he should stay at home for a few days.",
    "They are building a new bridge. It will be open in the spring.",
    "Would you like a cup of coffee before we start the meeting?",
    "Tell me the story about the old man and the dog.",
]

pytestmark = pytest.mark.slow


def read(path: Path) -> Waveform:
    return audio.load(str(path), sample_rate=SAMPLE_RATE).waveform


@pytest.fixture(scope="module")
def vad() -> VadEngine:
    engine: VadEngine = registry.create("vad", registry.default("vad"))
    return engine


@pytest.fixture(scope="module")
def sentences(examples: Path) -> list[Waveform]:
    names = ("rms/doctor", "rms/bridge", "slt/coffee", "slt/story")
    return [read(examples / f"{name}.flac") for name in names]


@pytest.fixture(scope="module")
def tiny(english_whispers: dict[str, Path]) -> dict[str, AsrEngine]:
    """Whisper tiny.en by engine."""
    return {
        engine: registry.create("asr", engine, model=str(path), device="cpu")
        for engine, path in english_whispers.items()
    }


@pytest.fixture(scope="module")
def base(whispers: dict[str, Path]) -> AsrEngine:
    """Multilingual."""
    engine: AsrEngine = registry.create(
        "asr", "faster-whisper", model=str(whispers["faster-whisper"]), device="cpu"
    )
    return engine


@pytest.fixture(scope="module")
def heard(tiny: dict[str, AsrEngine]) -> Remembering:
    """Whisper tiny.en, which computes no hypothesis twice."""
    return Remembering(tiny["faster-whisper"])


def live(engine: AsrEngine) -> LiveDecoder:
    decoder = engine.live()
    assert decoder
    return decoder


def spelt(words: Sequence[Word]) -> list[str]:
    return [token.text for word in words for token in word.chars]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_words_said_are_the_beginning_of_the_text(
    tiny: dict[str, AsrEngine], sentences: list[Waveform], engine: str
) -> None:
    decoder, clip = live(tiny[engine]), whole(sentences[0])
    words = decoder.hear(clip, (), ended=False).words
    assert text_of(words) == TOLD[0]
    assert words[0].start < 0.5
    assert words[-1].end == pytest.approx(clip.seconds, abs=0.6)
    for count in (1, 7, len(words)):
        rest = decoder.hear(clip, words[:count], ended=False).words
        assert spelt(rest) == spelt(words[count:])
        assert [word.start for word in rest] == [word.start for word in words[count:]]
    misheard = [replace(word, text="It", chars=()) for word in words[:1]]
    assert text_of(decoder.hear(clip, misheard, ended=True).words[:2]) == "doctor said"


def test_a_wider_search_begins_with_the_words_said(
    english_whispers: dict[str, Path], sentences: list[Waveform]
) -> None:
    for engine, path in english_whispers.items():
        wide = registry.create("asr", engine, model=str(path), device="cpu", beam_size=2)
        decoder, clip = wide.live(), whole(sentences[3])
        words = decoder.hear(clip, (), ended=False).words
        assert text_of(words) == TOLD[3]
        assert text_of(decoder.hear(clip, words[:4], ended=False).words) == text_of(words[4:])
        assert decoder.hear(clip, words, ended=False).words == ()


def test_the_language_is_detected_until_it_is_known(base: AsrEngine) -> None:
    clip = whole(read(LANGUAGES / "de.flac"))
    found = live(base).hear(clip, (), ended=False)
    assert found.language == "de"
    assert "schön, und" in text_of(found.words)
    half = len(found.words) // 2
    rest = live(base).hear(replace(clip, language="de"), found.words[:half], ended=True)
    assert spelt(found.words[:half] + rest.words) == spelt(found.words)
    assert text_of(live(base).hear(replace(clip, language="en"), (), ended=True).words) != text_of(
        found.words
    )


def test_finals_are_the_text_and_each_step_could_have_been_the_last(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform]
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    talk = with_pauses(sentences, [0.5, 0.2, 2.5, 0.3, 1.0])
    events = stream.events(talk)
    assert text_of(said(events)) == " ".join(TOLD)
    asked = heard.asked
    assert stream.require_resumable(talk) > len(talk) / SAMPLE_RATE / STEP
    assert heard.asked == asked


def test_audio_that_ends_in_a_word_gives_it(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform]
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    for seconds in (2.1, 2.5):
        cut = sentences[3][: round(seconds * SAMPLE_RATE)]
        *_, last = said(stream.events(cut))
        assert last.end > seconds - 0.3


def test_silence_and_noise_give_no_text(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform], data: Path
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    for quiet in (np.zeros(60 * SAMPLE_RATE, np.float32), *map(read, data.glob("noise/*.wav"))):
        assert said(stream.events(quiet)) == []
    events = stream.events(with_pauses(sentences[3:], [30.0]))
    words = said(events)
    assert text_of(words) == TOLD[3]
    assert 30.0 < words[0].start < 30.8


def test_audio_that_comes_all_at_once_has_the_same_text(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform]
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    talk = with_pauses(sentences[2:], [0.5, 2.5, 1.0])
    assert text_of(said(stream.events(talk, step=100.0))) == " ".join(TOLD[2:])
