"""Recordings too long for the memory: `vad` and `asr` hear in stretches what they hear at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechkit.engines import registry
from speechkit.io import decoding
from speechkit.records import Utterance
from speechkit.runtime.stage import Processor
from speechkit.stages.asr.stage import AsrOptions, AsrProcessor
from speechkit.stages.vad.segmentation import DEFAULTS
from speechkit.stages.vad.stage import VadOptions, VadProcessor

RATE = 16_000
NAMES = ("rms/bridge", "awb/train", "slt/story", "rms/doctor")


@pytest.fixture(scope="module")
def talk(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sentences with pauses of half a second, 22 s."""
    pause = np.random.default_rng(1).normal(0, 1e-4, RATE // 2)
    parts = [pause]
    for name in NAMES:
        parts += [soundfile.read(examples / f"{name}.flac")[0], pause]
    file = tmp_path_factory.mktemp("long") / "talk.wav"
    soundfile.write(file, np.concatenate(parts), RATE)
    return file


def heard(processor: Processor, file: Path, **own: float) -> dict[str, Any]:
    processor.open()
    utterance = Utterance(0, str(file), record={"audio_filepath": str(file)}, **own)  # type: ignore[arg-type]
    (records,) = processor.compute([processor.load(utterance)])
    (record,) = records
    json.dumps(record)
    return dict(record)


def in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "KEPT", 6.0)
    monkeypatch.setattr(decoding, "STRETCH", 7.68)


@pytest.mark.parametrize("engine", ["ten", "silero"])
def test_vad_finds_the_same_speech_in_stretches(
    talk: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    options = VadOptions(engine=engine, segmentation=DEFAULTS[engine], probabilities=True)
    configured = registry.configure(registry.find("vad", engine), {})
    whole = heard(VadProcessor(options, configured, one_by_one=True), talk)
    in_stretches(monkeypatch)
    parts = heard(VadProcessor(options, configured, one_by_one=True), talk)
    assert parts["duration"] == whole["duration"] > 20
    assert len(parts["frame_probabilities"]) == len(whole["frame_probabilities"])
    differences = np.subtract(parts["frame_probabilities"], whole["frame_probabilities"])
    assert np.mean(np.abs(differences) > 0.2) < 0.005
    assert parts["speech_duration"] == pytest.approx(whole["speech_duration"], abs=0.1)
    assert len(parts["segments"]) == pytest.approx(len(whole["segments"]), abs=1)


def whisper(whispers: dict[str, Path]) -> AsrProcessor:
    options = AsrOptions(engine="faster-whisper", words=True)
    info = registry.find("asr", options.engine)
    engine = registry.configure(info, {"model": str(whispers[options.engine])})
    return AsrProcessor(options, engine, one_by_one=False)


def test_asr_hears_the_same_words_in_parts_cut_at_pauses(
    talk: Path, whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = heard(whisper(whispers), talk)
    in_stretches(monkeypatch)
    parts = heard(whisper(whispers), talk)
    once, again = whole["pred_text"].split(), parts["pred_text"].split()
    assert len(set(once) & set(again)) > 0.9 * len(set(once))
    assert whole["lang"] == parts["lang"] == "en"
    assert len(again) == pytest.approx(len(once), rel=0.1)
    times = [word["start"] for segment in parts["segments"] for word in segment["words"]]
    assert times == sorted(times)
    assert times[-1] > 18
    starts = {
        word["word"]: word["start"] for segment in whole["segments"] for word in segment["words"]
    }
    late = [
        abs(word["start"] - starts[word["word"]])
        for segment in parts["segments"]
        for word in segment["words"]
        if again.count(word["word"]) == once.count(word["word"]) == 1
    ]
    assert len(late) > 12
    assert np.median(late) < 0.05


def test_asr_of_a_long_slice_keeps_the_files_own_times_and_the_speech_it_is_told(
    talk: Path, whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_stretches(monkeypatch)
    processor = whisper(whispers)
    part = heard(processor, talk, offset=5.0, duration=15.0)
    assert part["duration"] == 15.0
    assert 5.0 <= part["segments"][0]["start"] < 8.0
    assert 15.0 < part["segments"][-1]["end"] <= 20.0
    told = Utterance(
        0,
        str(talk),
        record={"audio_filepath": str(talk), "segments": [{"start": 12.0, "end": 14.0}]},
    )
    (records,) = processor.compute([processor.load(told)])
    assert all(10.0 < one["start"] < 15.0 for one in records[0]["segments"])
