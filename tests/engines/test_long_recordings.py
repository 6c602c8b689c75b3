"""Long recordings: `vad` hears in stretches, and `asr` in parts, what they hear at once."""

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
from speechkit.runtime.divisions import Divisions, dump, load
from speechkit.runtime.messages import success_outcome
from speechkit.runtime.stage import Processor, Stage
from speechkit.stages.asr import recording_parts
from speechkit.stages.asr.stage import AsrOptions, AsrProcessor
from speechkit.stages.vad.segmentation import DEFAULTS
from speechkit.stages.vad.stage import VadOptions, VadProcessor

RATE = 16_000
NAMES = ("awb/train", "slt/story", "rms/doctor")


@pytest.fixture(scope="module")
def talk(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sentences with pauses of half a second, 15 s."""
    pause = np.random.default_rng(1).normal(0, 1e-4, RATE // 2)
    parts = [pause]
    for name in NAMES:
        parts += [soundfile.read(examples / f"{name}.flac")[0], pause]
    file = tmp_path_factory.mktemp("long") / "talk.wav"
    soundfile.write(file, np.concatenate(parts), RATE)
    return file


def spoken(file: Path, segments: Any = None, **own: float) -> Utterance:
    told = {} if segments is None else {"segments": segments}
    return Utterance(0, str(file), record={"audio_filepath": str(file), **told}, **own)  # type: ignore[arg-type]


def stage_of(processor: Processor) -> Stage:
    return Stage(name="asr", processor=processor, batch_audio=30.0, options={})


def heard(processor: Processor, file: Path) -> dict[str, Any]:
    processor.open()
    (records,) = processor.compute([processor.load(spoken(file))])
    (record,) = records
    json.dumps(record)
    return dict(record)


def heard_in_parts(
    processor: AsrProcessor, utterance: Utterance, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """In parts of 2 to 6 seconds, the last one first."""
    monkeypatch.setattr(recording_parts, "SEAM", 2.0)
    monkeypatch.setattr(recording_parts, "MARGIN", 1.0)
    processor.part_seconds = 6.0
    processor.open()
    division = processor.divide(processor.load(utterance))
    assert division
    assert division.parts == 5
    divisions = Divisions(stage_of(processor))
    outcome = None
    for part in reversed(divisions.begin(utterance, load(dump(division)))):
        assert outcome is None
        (records,) = processor.compute([processor.load(part)])
        outcome = divisions.take(success_outcome(part, records, 0.0))
    assert outcome
    return dict(json.loads(outcome.lines[0]))


@pytest.mark.parametrize("engine", ["ten", "silero"])
def test_vad_finds_the_same_speech_in_stretches(
    talk: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    options = VadOptions(engine=engine, segmentation=DEFAULTS[engine], probabilities=True)
    configured = registry.configure(registry.find("vad", engine), {})
    whole = heard(VadProcessor(options, configured, one_by_one=True), talk)
    monkeypatch.setattr(decoding, "KEPT", 6.0)
    monkeypatch.setattr(decoding, "STRETCH", 7.68)
    parts = heard(VadProcessor(options, configured, one_by_one=True), talk)
    assert parts["duration"] == whole["duration"] > 15
    assert len(parts["frame_probabilities"]) == len(whole["frame_probabilities"])
    differences = np.subtract(parts["frame_probabilities"], whole["frame_probabilities"])
    assert np.mean(np.abs(differences) > 0.2) < 0.005
    assert parts["speech_duration"] == pytest.approx(whole["speech_duration"], abs=0.1)
    assert len(parts["segments"]) == pytest.approx(len(whole["segments"]), abs=1)


def whisper(whispers: dict[str, Path]) -> AsrProcessor:
    options = AsrOptions(engine="faster-whisper", words=True)
    info = registry.find("asr", options.engine)
    engine = registry.configure(info, {"model": str(whispers[options.engine])})
    return AsrProcessor(options, engine, one_by_one=False, part_seconds=150.0)


def test_asr_hears_the_same_words_in_parts_cut_at_pauses(
    talk: Path, english_whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = heard(whisper(english_whispers), talk)
    parts = heard_in_parts(whisper(english_whispers), spoken(talk), monkeypatch)
    once, again = whole["pred_text"].split(), parts["pred_text"].split()
    assert len(set(once) & set(again)) > 0.9 * len(set(once))
    assert whole["lang"] == parts["lang"] == "en"
    assert len(again) == pytest.approx(len(once), rel=0.1)
    times = [word["start"] for segment in parts["segments"] for word in segment["words"]]
    assert times == sorted(times)
    assert times[-1] > 13
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
    talk: Path, english_whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = whisper(english_whispers)
    part = heard_in_parts(processor, spoken(talk, offset=3.0, duration=12.4), monkeypatch)
    assert part["duration"] == 12.4
    assert 3.0 <= part["segments"][0]["start"] < 6.0
    assert 13.0 < part["segments"][-1]["end"] <= 15.4
    told = heard_in_parts(
        processor, spoken(talk, segments=[{"start": 11.0, "end": 13.0}]), monkeypatch
    )
    assert all(9.0 < one["start"] < 14.0 for one in told["segments"])


def test_the_language_of_a_recording_is_settled_before_its_parts_are(
    talk: Path, whispers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = whisper(whispers)
    processor.part_seconds = 6.0
    processor.open()
    told = processor.divide(processor.load(spoken(talk)))
    assert told
    assert told.known["language"] == "en"
    monkeypatch.setitem(told.known, "language", "de")
    monkeypatch.setattr(recording_parts, "SEAM", 2.0)
    monkeypatch.setattr(recording_parts, "MARGIN", 1.0)
    parts = Divisions(stage_of(processor)).begin(spoken(talk), told)
    (records,) = processor.compute([processor.load(parts[0])])
    assert records[0]["languages"].keys() == {"de"}
