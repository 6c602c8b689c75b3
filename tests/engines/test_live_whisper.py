"""Live audio through both Whispers, with the published weights of tiny.en and base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from audiokit import whole
from livekit import Remembering, Stream, said, with_pauses
from speechkit.engines import registry
from speechkit.engines.asr.whisper.backend import Search
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine
from speechkit.io import audio
from speechkit.records import Word, text_of
from speechkit.serving.stream.options import StreamOptions

if TYPE_CHECKING:
    from speechkit.engines.protocols import LiveDecoder, VadEngine, Waveform

ENGINES = ["whisper", "faster-whisper"]
LANGUAGES = Path(__file__).resolve().parents[2] / "examples" / "languages"
STEP = 1.5  # seconds
TOLD = [
    "The doctor said that he should stay at home for a few days.",
    "Would you like a cup of coffee before we start the meeting?",
]

pytestmark = pytest.mark.slow


def read(path: Path) -> Waveform:
    return audio.load(str(path), sample_rate=SAMPLE_RATE).waveform


@pytest.fixture(scope="module")
def vad() -> VadEngine:
    engine: VadEngine = registry.create("vad", "silero")
    return engine


@pytest.fixture(scope="module")
def sentences(examples: Path) -> list[Waveform]:
    return [read(examples / f"{name}.flac") for name in ("rms/doctor", "slt/coffee")]


@pytest.fixture(scope="module")
def tiny(english_whispers: dict[str, Path]) -> AsrEngine:
    """Whisper tiny.en."""
    model = str(english_whispers["faster-whisper"])
    engine: AsrEngine = registry.create("asr", "faster-whisper", model=model, device="cpu")
    return engine


@pytest.fixture(scope="module")
def base(whispers: dict[str, Path]) -> AsrEngine:
    """Multilingual."""
    engine: AsrEngine = registry.create(
        "asr", "faster-whisper", model=str(whispers["faster-whisper"]), device="cpu"
    )
    return engine


@pytest.fixture(scope="module")
def heard(tiny: AsrEngine) -> Remembering:
    """Whisper tiny.en, which computes no hypothesis twice."""
    return Remembering(tiny)


def live(engine: AsrEngine) -> LiveDecoder:
    decoder = engine.live()
    assert decoder
    return decoder


def spelt(words: Sequence[Word]) -> list[str]:
    return [token.text for word in words for token in word.chars]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("beams", [1, 2])
def test_a_draft_continues_the_text_that_ends_its_prompt(
    untrained: dict[str, Path], sentences: list[Waveform], engine: str, beams: int
) -> None:
    whisper: Any = registry.create("asr", engine, model=str(untrained[engine]), device="cpu")
    backend = whisper._backend
    encoded = backend.encode(backend.features([sentences[0][: 2 * SAMPLE_RATE]]), 1)
    prompt = [*backend.vocabulary.start("en", "transcribe"), backend.vocabulary.no_timestamps]

    def tokens(said: Sequence[int]) -> list[int]:
        (draft,) = backend.decode(encoded, [[*prompt, *said]], Search(beams), [12], 1)
        return list(draft.tokens)

    text = tokens([])
    assert len(text) == 12
    assert backend.vocabulary.text_at_end([*prompt, *text[:5]]) == 5
    if beams == 1:
        assert tokens(text[:5])[:7] == text[5:]


def test_the_words_said_are_the_beginning_of_the_text(
    tiny: AsrEngine, sentences: list[Waveform]
) -> None:
    decoder, clip = live(tiny), whole(sentences[0])
    words = decoder.hear(clip, (), ended=False).words
    assert text_of(words) == TOLD[0]
    assert words[0].start < 1.0
    assert words[-1].end == pytest.approx(clip.seconds, abs=1.0)
    rest = decoder.hear(clip, words[:7], ended=False).words
    assert spelt(rest) == spelt(words[7:])
    assert [word.start for word in rest] == [word.start for word in words[7:]]
    assert decoder.hear(clip, words, ended=False).words == ()
    bare = [replace(word, chars=()) for word in words[:3]]
    assert text_of(decoder.hear(clip, bare, ended=True).words) == text_of(words[3:])


def test_a_wider_search_begins_with_the_words_said(
    english_whispers: dict[str, Path], sentences: list[Waveform]
) -> None:
    model = str(english_whispers["faster-whisper"])
    wide = registry.create("asr", "faster-whisper", model=model, device="cpu", beam_size=2)
    clip = whole(sentences[1])
    words = live(wide).hear(clip, (), ended=True).words
    assert text_of(words) == TOLD[1]
    assert live(wide).hear(clip, words, ended=True).words == ()


def test_the_language_is_detected_until_it_is_known(base: AsrEngine) -> None:
    clip = whole(read(LANGUAGES / "de.flac"))
    found = live(base).hear(clip, (), ended=False)
    assert found.language == "de"
    assert "schön, und" in text_of(found.words)
    half = len(found.words) // 2
    rest = live(base).hear(replace(clip, language="de"), found.words[:half], ended=True)
    assert spelt(found.words[:half] + rest.words) == spelt(found.words)


def test_finals_are_the_text_and_each_step_could_have_been_the_last(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform]
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    talk = with_pauses(sentences, [0.5, 0.2, 1.0])
    events = stream.events(talk)
    assert text_of(said(events)) == " ".join(TOLD)
    asked = heard.asked
    assert stream.require_resumable(talk) > len(talk) / SAMPLE_RATE / STEP
    assert heard.asked == asked


def test_audio_that_ends_in_a_word_gives_it(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform]
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    cut = sentences[1][: round(2.6 * SAMPLE_RATE)]
    *_, last = said(stream.events(cut))
    assert last.end > 2.3


def test_silence_and_noise_give_no_text(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform], data: Path
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    for quiet in (np.zeros(60 * SAMPLE_RATE, np.float32), *map(read, data.glob("noise/*.wav"))):
        assert said(stream.events(quiet)) == []
    events = stream.events(with_pauses(sentences[1:], [30.0]))
    words = said(events)
    assert text_of(words) == TOLD[1]
    assert 30.0 < words[0].start < 31.0


def test_audio_that_comes_all_at_once_has_the_same_text(
    heard: Remembering, vad: VadEngine, sentences: list[Waveform]
) -> None:
    stream = Stream(heard, vad, StreamOptions(step=STEP))
    talk = with_pauses(sentences, [0.5, 2.5, 1.0])
    assert text_of(said(stream.events(talk, step=100.0))) == " ".join(TOLD)
