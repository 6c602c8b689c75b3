"""Every stage over lines that have all keys already, as an earlier run left them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speechkit import keys
from speechkit.records import Record
from sphinxkit import QUICK

pytestmark = pytest.mark.slow

ASR = ("asr", *QUICK)
STALE: dict[str, Any] = {
    "path": "/stale.wav",
    "seconds": 1.0,
    "identity": "talk",
    "string": "stale",
    "integer": 7,
    "boolean": True,
    "number": 0.5,
    "numbers": [0.5],
    "segments": [{"start": 0.6, "end": 2.5, "text": "stale", "words": [], "speaker": "A"}],
    "spans": [{"start": 0.5, "end": 0.75}],
    "words": [{"word": "stale", "start": 0.5, "end": 0.75}],
    "units": [1, 2],
    "frames": [1, 1],
    "strings": ["doubtful", "noisy", "other_tracks"],
    "object": None,
}


@pytest.fixture(scope="module")
def line(examples: Path) -> Record:
    """With every key of the table, and one of another tool."""
    audio = str(examples / "kal16" / "letter.flac")
    stale = {key.name: STALE[key.kind] for key in keys.LINE}
    return {**stale, "audio_filepath": audio, "offset": 0.0, "duration": 4.0, "topic": "post"}


def run(speechkit: Any, lines: list[Record], *command: str) -> list[Record]:
    stdin = "".join(json.dumps(line) + "\n" for line in lines)
    done = speechkit(*command, "-", stdin=stdin.encode())
    return [json.loads(output) for output in done.out.splitlines()]


@pytest.mark.parametrize(
    "command", [("manifest",), ("vad",), ("validate",), (*ASR, "--words")], ids=lambda c: c[0]
)
def test_a_stage_changes_its_own_keys_alone(
    speechkit: Any, line: Record, command: tuple[str, ...]
) -> None:
    (record,) = run(speechkit, [line], *command)
    own = {key.name for key in keys.LINE if command[0] in key.set_by}
    others = {key: value for key, value in line.items() if key not in own}
    assert {key: value for key, value in record.items() if key not in own} == others
    assert record.keys() <= line.keys()
    assert [key for key in line if key in record] == list(record)
    stated = {key.name for key in keys.LINE if key.stated}
    changed = {key for key in own - stated if record.get(key) != line[key]}
    always = {
        "manifest": {"sample_rate", "channels"},
        "vad": {"segments", "speech_duration", "frame_hop", "frame_probabilities"},
        "validate": {"issues", "warnings", "measures"},
        "asr": {"pred_text", "segments", "gaps"},
    }
    assert changed == always[command[0]]
    assert (
        record["flags"]
        == {
            "manifest": ["doubtful", "noisy", "other_tracks"],
            "vad": ["doubtful", "noisy"],
            "validate": ["doubtful", "noisy"],
            "asr": ["noisy"],
        }[command[0]]
    )


def test_a_slice_carries_nothing_of_the_whole(speechkit: Any, line: Record) -> None:
    slices = run(speechkit, [line], "vad", "--emit", "segments")
    assert len(slices) > 1
    whole = {key.name for key in keys.LINE if key.of_the_whole}
    assert {"units", "unit_durations", "audio_filepath_out", "duration_out"} <= whole
    passed = [key for key in line if key not in whole]
    for number, record in enumerate(slices):
        assert list(record) == passed
        assert record["id"] == f"talk-{number:04}"
        assert record["parent"] == "talk"
        assert record["flags"] == ["noisy"]
        assert record["topic"] == "post"
        assert record["duration"] < 4.0


def test_rates_of_an_earlier_score_are_replaced(
    speechkit: Any, line: Record, tmp_path: Path
) -> None:
    out = tmp_path / "scored.jsonl"
    speechkit("score", "-", "-o", out, stdin=json.dumps(line).encode())
    record = json.loads(out.read_text())
    own = {key.name for key in keys.LINE if "score" in key.set_by}
    assert list(record) == list(line)
    assert (
        {key for key in line if record[key] != line[key]}
        == own
        == {*("wer", "cer", "word_errors", "char_errors")}
    )


def test_words_of_two_speakers_never_share_a_segment(speechkit: Any, examples: Path) -> None:
    """Though nobody pauses between the two, and the engine hears one sentence."""
    speakers: list[Record] = [
        {"start": 0.4, "end": 2.0, "speaker": "A", "turn": {"n": 1}},
        {"start": 2.0, "end": 3.8, "speaker": "B"},
    ]
    audio = str(examples / "awb" / "train.flac")
    joined = {"audio_filepath": audio, "segments": [{"start": 0.4, "end": 3.8}]}
    lines = [joined, {**joined, "segments": speakers}]
    plain, record = run(speechkit, lines, *ASR, "--words")
    assert record["pred_text"] == plain["pred_text"]
    assert all("speaker" not in segment for segment in plain["segments"])
    assert any(
        segment["words"][0]["end"] < 2.0 < segment["words"][-1]["start"]
        for segment in plain["segments"]
    )
    said = [(segment["speaker"], segment.get("turn")) for segment in record["segments"]]
    assert said == sorted(said, key=lambda speaker: speaker[0])
    assert dict(said) == {"A": {"n": 1}, "B": None}
    for segment in record["segments"]:
        assert list(segment)[:3] == ["start", "end", "speaker"]
        for word in segment["words"]:
            middle = (word["start"] + word["end"]) / 2
            assert segment["speaker"] == ("A" if middle < 2.0 else "B")
