"""Which utterances can be trained on, why the others can't, and the account of their use."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from runkit import records, write_manifest
from speechkit.engines.finetune.whisper.labels import Labels
from speechkit.errors import Drained
from speechkit.runtime.stopping import StopRequest
from speechkit.training.options import FinetuneOptions
from speechkit.training.training_data import TrainingData, check, select, write_usage
from vocabularykit import tokenizer_file

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "speech"
TRAIN = "The first train to the city leaves at seven in the morning."


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    folder = tmp_path_factory.mktemp("model")
    shutil.copy(tokenizer_file(), folder / "tokenizer.json")
    sizes = {"max_target_positions": 448, "max_source_positions": 1500}
    (folder / "config.json").write_text(json.dumps(sizes))
    return Labels(folder, None, timestamps=True)


def said(split: str) -> dict[str, str]:
    return {"split": split, "speaker": "one"}


def lines(folder: Path) -> list[dict[str, Any]]:
    samples, rate = soundfile.read(EXAMPLES / "awb" / "train.flac", dtype="float32")
    soundfile.write(folder / "long.wav", np.tile(samples, 8), rate)
    samples[5000] = np.nan
    soundfile.write(folder / "nan.wav", samples, rate, subtype="FLOAT")
    train = {"audio_filepath": str(EXAMPLES / "awb" / "train.flac"), "lang": "en", "text": TRAIN}
    music = {
        "audio_filepath": str(EXAMPLES / "rms" / "music.flac"),
        "lang": "en",
        "text": "My sister likes to listen to music when she works.",
    }
    sound, rate = soundfile.read(EXAMPLES / "rms" / "music.flac", dtype="float32")
    narrow = soxr.resample(soxr.resample(sound, rate, 8000), 8000, rate)
    soundfile.write(folder / "telephone.wav", narrow[: len(sound)], rate)
    two = {**train, "text": f"{TRAIN} {TRAIN}"}
    return [
        {**train, "used": 4, "skipped": ["no_text"], **said("train")},
        {**music, "audio_filepath": "telephone.wav", "note": {"kept": 1}},
        {**train, "audio_filepath": "nan.wav"},
        {**train, "audio_filepath": "missing.wav", "text": ""},
        {**train, "audio_filepath": "long.wav", "duration": 15.5, "text": TRAIN * 4},
        {**two, "audio_filepath": "long.wav", "offset": 4.315, "duration": 8.6, **said("test")},
        {"audio_filepath": music["audio_filepath"], "duration": 4.9},
        {**music, "duration": 4.8, "text": "-a" * 250},
        {**music, "duration": 4.7, "lang": "xx"},
        {**music, "duration": 4.6, "lang": None},
        {**music, "duration": 4.5, "error": {"type": "AudioEmpty", "message": "earlier"}},
    ]


SKIPPED = {
    2: ("not_finite",),
    3: ("missing", "no_text"),
    4: ("too_long",),
    6: ("no_text",),
    7: ("fast_text", "too_many_tokens"),
    8: ("unknown_language",),
    9: ("no_language",),
    10: ("error",),
}


WARNINGS = {1: ["narrow_band"], 5: ["leaked_speaker"]} | {
    index: ["low_pass"] for index in range(6, 10)
}


@pytest.fixture(scope="module")
def prepared(
    labels: Labels, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FinetuneOptions, TrainingData]:
    folder = tmp_path_factory.mktemp("data")
    train = write_manifest(folder / "train.jsonl", lines(folder))
    options = FinetuneOptions(train=(str(train),), model="any", output=folder / "out", context=15.0)
    check(options, labels, options.output)
    return options, select(options, labels, options.output)


def test_every_utterance_is_used_or_has_a_reason(
    prepared: tuple[FinetuneOptions, TrainingData], labels: Labels
) -> None:
    options, data = prepared
    assert dict(data.skipped) == SKIPPED
    assert (data.count, data.context, data.timed) == (11, 15.0, 0)
    assert data.reasons["no_text"] == 2
    kept = [(one.utterance.index, one.utterance.offset, one.seconds) for one in data.utterances]
    assert kept == [(0, 0.0, 4.315), (1, 0.0, 4.93), (5, 4.315, 8.6)]
    assert data.utterances[0].tokens == labels.tokens({"text": TRAIN, "lang": "en"}, 30.0)
    assert select(replace(options, context=None), labels, options.output).context == 9.0
    written = options.output / "validated.jsonl"
    assert not records(written)[6]["valid"]
    assert records(written)[1]["issues"] == ["narrow_band"]  # which keeps nothing from training
    before = written.stat().st_ino
    told = threading.Event()
    told.set()
    with pytest.raises(Drained, match="cancelled while the data were checked; run the same"):
        check(options, labels, options.output / "none", stop=StopRequest(told))
    check(options, labels, options.output)
    assert select(options, labels, options.output) == data
    assert written.stat().st_ino == before


def test_the_account_has_each_line_in_order_as_it_was_given(
    prepared: tuple[FinetuneOptions, TrainingData],
) -> None:
    options, data = prepared
    error = {"type": "AudioNotFound", "message": "gone"}
    write_usage(options.output, data, [1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0], {1: error})
    found = records(options.output / "training-data.jsonl")
    given = lines(options.output.parent)
    del given[0]["used"], given[0]["skipped"]  # of an earlier training
    for index, (line, record) in enumerate(zip(found, given, strict=True)):
        times = {0: 1, 5: 3}.get(index, 0)
        expected = {**record, "used": times}
        expected["audio_filepath"] = str(options.output.parent / record["audio_filepath"])
        if index in SKIPPED:
            expected["skipped"] = [*SKIPPED[index]]
        if index in WARNINGS:
            expected["warnings"] = WARNINGS[index]
        if index == 1:
            expected["error"] = error
        if "duration" not in expected and "duration" in line:
            expected["duration"] = line["duration"]
        assert line == expected
