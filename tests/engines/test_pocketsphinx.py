"""The embedded recogniser: words with times, and no memory of what it heard before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pocketsphinx
import pytest
from numpy.typing import NDArray

from audiokit import whole
from speechkit.engines import registry
from speechkit.engines.asr.pocketsphinx import PocketSphinxOptions
from speechkit.engines.asr.pocketsphinx.engine import MIN_SAMPLES, PocketSphinx
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineMissing
from speechkit.io import audio
from speechkit.records import Hypothesis

Waveform = NDArray[np.float32]


@pytest.fixture(scope="module")
def engine() -> PocketSphinx:
    return PocketSphinx(PocketSphinxOptions())


@pytest.fixture(scope="module")
def speech(examples: Path) -> dict[str, Waveform]:
    files = ("awb/train", "slt/story")
    return {
        name: audio.load(str(examples / f"{name}.flac"), sample_rate=SAMPLE_RATE).waveform
        for name in files
    }


def hear(engine: PocketSphinx, waveforms: Sequence[Waveform]) -> list[Hypothesis]:
    """Each waveform an utterance of one window."""
    return [hypothesis for (hypothesis,) in engine.transcribe([whole(w)] for w in waveforms)]


@pytest.fixture(scope="module")
def alone(speech: dict[str, Waveform]) -> dict[str, Hypothesis]:
    """Each heard by a recogniser that has heard nothing else."""
    return {
        name: hear(PocketSphinx(PocketSphinxOptions()), [waveform])[0]
        for name, waveform in speech.items()
    }


def test_words_have_times_and_confidences(
    alone: dict[str, Hypothesis], speech: dict[str, Waveform], examples: Path
) -> None:
    for name, waveform in speech.items():
        heard = alone[name]
        (segment,) = heard.segments
        reference = (examples / f"{name}.txt").read_text().lower().split()
        assert len(set(heard.text.split()) & set(reference)) > len(set(reference)) / 2
        assert heard.text == " ".join(word.text for word in segment.words)
        assert heard.language == "en"
        assert not any(mark in heard.text for mark in "<>[]+()")
        assert all(word.start < word.end for word in segment.words)
        starts = [word.start for word in segment.words]
        assert starts == sorted(starts)
        assert starts[0] >= 0
        assert segment.words[-1].end <= len(waveform) / SAMPLE_RATE + 0.011  # one frame of 10 ms
        confidences = [word.confidence or 0.0 for word in segment.words]
        assert all(0 <= confidence <= 1 for confidence in confidences)
        assert len(set(confidences)) > 1
        assert segment.confidence == pytest.approx(np.mean(confidences), abs=1e-3)


def test_words_stand_where_they_are_said(
    engine: PocketSphinx, alone: dict[str, Hypothesis], speech: dict[str, Waveform]
) -> None:
    plain = alone["slt/story"]
    later = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), speech["slt/story"]])
    (shifted,) = hear(engine, [later])
    ends = {word.text: word.end for word in plain.segments[0].words}
    both = [(ends[word.text], word.end) for word in shifted.segments[0].words if word.text in ends]
    assert len(both) > 5
    assert np.median([b - a for a, b in both]) == pytest.approx(1.0, abs=0.03)


def test_nothing_depends_on_what_was_heard_before(
    engine: PocketSphinx, alone: dict[str, Hypothesis], speech: dict[str, Waveform]
) -> None:
    first, second = speech
    noise = np.random.default_rng(5).normal(0, 0.3, SAMPLE_RATE).astype(np.float32)
    found = hear(engine, [speech[second], noise, speech[first]])
    assert found[::2] == [alone[second], alone[first]]


def test_silence_noise_and_scraps(engine: PocketSphinx) -> None:
    silence = np.zeros(2 * SAMPLE_RATE, np.float32)
    (heard,) = hear(engine, [silence])
    assert len(heard.text.split()) <= 1
    scraps = [silence[:0], silence[:1], silence[: MIN_SAMPLES - 1], silence[:MIN_SAMPLES]]
    assert [one.text for one in hear(engine, scraps)] == [""] * 4
    assert hear(engine, []) == []
    loud = np.full(SAMPLE_RATE, 5.0, np.float32)  # beyond full scale: clipped, not wrapped
    hear(engine, [loud, -loud])


def test_a_model_folder_gives_what_the_wheels_own_gives(
    alone: dict[str, Hypothesis], speech: dict[str, Waveform]
) -> None:
    folder = Path(pocketsphinx.get_model_path()) / "en-us"
    own = PocketSphinx(PocketSphinxOptions(model=str(folder)))
    assert hear(own, [speech["slt/story"]]) == [alone["slt/story"]]


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(EngineMissing, match="not a PocketSphinx model, no hmm and no lm"):
            registry.create("asr", "pocketsphinx", model=str(folder))
