"""Doubts are part of the record, counted by the run that raised them, named by the score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from runkit import records, write_manifest
from sphinxkit import QUICK

RATE = 16_000


@pytest.fixture(scope="module")
def said_to_be_speech(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of a sentence, and of a still room where an earlier stage has found speech."""
    folder = tmp_path_factory.mktemp("doubts")
    room = 1e-3 * np.random.default_rng(1).standard_normal(2 * RATE).astype(np.float32)
    soundfile.write(folder / "room.wav", room, RATE)
    sentence = examples / "awb" / "train.flac"
    lines = [
        {
            "audio_filepath": "room.wav",
            "id": "room",
            "text": "so it is",
            "segments": [{"start": 0.5, "end": 1.75}],
        },
        {"audio_filepath": str(sentence), "text": sentence.with_suffix(".txt").read_text()},
    ]
    return write_manifest(folder / "in.jsonl", lines)


@pytest.mark.slow
def test_speech_without_words_is_told(
    said_to_be_speech: Path, speechkit: Any, tmp_path: Path
) -> None:
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    command = ["asr", said_to_be_speech, *QUICK, "--summary", summary]
    for said in ("6.3 s of audio", "complete already"):
        done = speechkit(*command, "-o", out)
        assert said in done.err
        assert "  flagged utterances: 1 low_coverage\n" in done.err
        account = json.loads(summary.read_text())
        assert (account["flags"], account["failed"]) == ({"low_coverage": 1}, 0)
    room, sentence = records(out)
    assert room["pred_text"] == ""
    assert room["gaps"] == [{"start": 0.5, "end": 1.75}]
    assert room["flags"] == ["low_coverage"]
    assert not {"gaps", "flags"} & sentence.keys()
    assert speechkit(*command).out == out.read_bytes()
    assert json.loads(summary.read_text())["flags"] == {"low_coverage": 1}
    rated = speechkit("score", out, "--summary", summary)
    assert "flagged: 1 low_coverage, 1.2 s of speech without words: room" in rated.out.decode()
    assert json.loads(summary.read_text())["doubts"]["first"] == ["room"]


def test_doubts_are_carried_on_and_counted_again(
    examples: Path, speechkit: Any, tmp_path: Path
) -> None:
    """Once an utterance, however many lines it is cut into; a slice has no doubtful transcript."""
    audio = str(examples / "kal16" / "letter.flac")
    line = {"audio_filepath": audio, "flags": ["doubtful", "noisy"]}
    stdin, summary = json.dumps(line).encode(), tmp_path / "summary.json"
    for emit, least, flags in (
        ("recordings", 1, ["doubtful", "noisy"]),
        ("segments", 2, ["noisy"]),
    ):
        done = speechkit("vad", "-", "--emit", emit, "--summary", summary, stdin=stdin)
        found = records(done.out)
        assert len(found) >= least
        assert all(record["flags"] == flags for record in found)
        assert json.loads(summary.read_text())["flags"] == dict.fromkeys(flags, 1)
