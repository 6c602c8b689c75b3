"""vad | asr | score: by pipe and by files, by one worker and by two, with failures on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile

from runkit import records, write_manifest
from speechkit.records import Record
from sphinxkit import QUICK

# What is asked here is the same of any engine, and this one is light.
ASR = ("asr", *QUICK)


@pytest.fixture(scope="module")
def recordings(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of three voices with their references, two of them with the same name."""
    folder = tmp_path_factory.mktemp("recordings")
    for voice, name, target in [
        ("awb", "train", "mon/a"),
        ("kal16", "problem", "tue/a"),
        ("slt", "story", "tue/b"),
    ]:
        (folder / target).parent.mkdir(exist_ok=True)
        for suffix in (".flac", ".txt"):
            shutil.copy(examples / voice / f"{name}{suffix}", folder / f"{target}{suffix}")
    return folder


def pipe(*commands: Sequence[object]) -> tuple[bytes, list[int]]:
    """A shell's pipeline: the last one's stdout, and every exit code."""
    running: list[subprocess.Popen[bytes]] = []
    for command in commands:
        before = running[-1].stdout if running else None
        program = [] if command[0] == "tee" else [sys.executable, "-m", "speechkit"]
        arguments = [*program, *map(str, command)]
        running.append(
            subprocess.Popen(
                arguments, stdin=before, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        )
        if before:
            before.close()
    out, _ = running[-1].communicate()
    return out, [process.wait() for process in running]


@pytest.mark.slow
def test_by_pipe_and_by_files_is_the_same(speechkit: Any, recordings: Path, tmp_path: Path) -> None:
    vad, asr, piped = (tmp_path / name for name in ("vad.jsonl", "asr.jsonl", "piped.jsonl"))
    speechkit("vad", recordings, "-o", vad)
    speechkit(*ASR, vad, "-o", asr, "--words")
    score = speechkit("score", asr, "--json").out
    commands = (["vad", recordings], [*ASR, "-", "--words"], ["tee", piped])
    scored, codes = pipe(*commands, ["score", "-", "--json"])
    assert scored == score
    assert codes == [0, 0, 0, 0]
    assert piped.read_bytes() == asr.read_bytes()


@pytest.mark.slow
def test_one_worker_and_two_give_the_same_bytes(
    speechkit: Any, recordings: Path, examples: Path, tmp_path: Path
) -> None:
    for command in (
        ("vad", "--engine", "ten", "--probabilities", examples),
        ("vad", "--engine", "silero", "--probabilities", examples),
        ("vad", "--emit", "segments", examples),
        ("manifest", examples),
        (*ASR, recordings, "--limit", 4),
    ):
        one = speechkit(*command, "--workers", 1).out
        two = speechkit(*command, "--workers", 2).out
        assert one == two, command
        assert len(one.splitlines()) >= 3


@pytest.mark.slow
def test_company_in_a_batch_changes_no_byte(speechkit: Any, examples: Path, tmp_path: Path) -> None:
    files = [examples / name for name in ("awb/train.flac", "rms/music.flac", "slt/coffee.flac")]
    command = ("vad", "--engine", "silero", "--probabilities")
    alone = [speechkit(*command, file).out for file in files]
    assert speechkit(*command, *files).out == b"".join(alone)
    among_all = set(speechkit(*command, examples, "--workers", 1).out.splitlines())
    assert {line.rstrip() for line in alone} <= among_all


@pytest.mark.parametrize("engine", ["ten", "silero"])
def test_a_quiet_recording_is_heard_as_a_louder_one_is(
    speechkit: Any, examples: Path, tmp_path: Path, engine: str
) -> None:
    samples, rate = soundfile.read(examples / "rms" / "music.flac", dtype="float32")
    for number, share in enumerate((1 / 8, 1 / 64)):
        soundfile.write(tmp_path / f"{number}.wav", samples * share, rate, subtype="FLOAT")
    louder, quieter = records(speechkit("vad", tmp_path, "--engine", engine, "--probabilities").out)
    assert len(louder["segments"]) >= 1
    assert quieter["frame_probabilities"] == louder["frame_probabilities"]


@pytest.mark.slow
def test_vad_adds_its_keys_behind_the_inputs(
    speechkit: Any, recordings: Path, tmp_path: Path
) -> None:
    given: Record = {"z": [1, {"y": None}], "audio_filepath": str(recordings / "mon/a.flac")}
    given |= {"id": "ä/1", "big": 2**70, "text": "x", "speaker": "bob"}
    (record,) = records(speechkit("vad", "-", stdin=json.dumps(given).encode()).out)
    assert list(record) == [*given, "duration", "segments", "speech_duration"]
    assert {key: record[key] for key in given} == given
    assert 0 < record["speech_duration"] <= record["duration"] == pytest.approx(4.315)
    ends = [segment["end"] for segment in record["segments"]]
    assert ends == sorted(ends)
    (record,) = records(speechkit(*ASR, "-", stdin=json.dumps(record).encode()).out)
    assert list(record) == [
        *(*given, "duration", "segments", "speech_duration"),
        *("pred_text", "lang"),
    ]
    assert record["pred_text"] == " ".join(segment["text"] for segment in record["segments"])


@pytest.mark.slow
def test_segments_count_from_the_recordings_beginning(speechkit: Any, recordings: Path) -> None:
    audio = str(recordings / "mon" / "a.flac")
    line = json.dumps({"audio_filepath": audio, "offset": 1.0, "duration": 2.0}).encode()
    (record,) = records(speechkit("vad", "-", stdin=line).out)
    assert record["offset"] == 1.0
    assert record["duration"] == 2.0
    assert all(1.0 <= one["start"] < one["end"] <= 3.0 for one in record["segments"])
    (record,) = records(speechkit(*ASR, "-", "--words", stdin=line).out)
    words = [word for segment in record["segments"] for word in segment["words"]]
    assert words
    assert all(1.0 <= word["start"] < word["end"] <= 3.0 for word in words)
    assert all(0 <= word["confidence"] <= 1 for word in words)


@pytest.mark.slow
def test_one_line_a_segment(speechkit: Any, recordings: Path) -> None:
    command = ("vad", recordings, "--min-silence", 0.05)
    whole = records(speechkit(*command).out)
    emitted = speechkit(*command, "--emit", "segments").out
    lines = records(emitted)
    assert len(lines) == sum(len(record["segments"]) for record in whole) > 3
    for record in whole:
        own = [line for line in lines if line["parent"] == record["audio_filepath"]]
        found = [(line["offset"], round(line["offset"] + line["duration"], 3)) for line in own]
        assert found == [(one["start"], one["end"]) for one in record["segments"]]
    assert not any("text" in line for line in lines)
    heard = records(speechkit(*ASR, "-", stdin=emitted).out)
    assert [(h["audio_filepath"], h["offset"]) for h in heard] == [
        (line["audio_filepath"], line["offset"]) for line in lines
    ]
    together = " ".join(line["pred_text"] for line in heard).split()
    assert len(together) > 10


@pytest.mark.slow
def test_a_failure_is_carried_to_the_score(
    speechkit: Any, recordings: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "text.txt").write_text("four words of reference")
    audio = str(recordings / "mon" / "a.flac")
    given: list[Record] = [
        {"audio_filepath": str(tmp_path / "none.wav"), "text": "two words", "note": 1},
        {"audio_filepath": audio, "text": (recordings / "mon" / "a.txt").read_text()},
        {"audio_filepath": audio, "offset": 100, "text": "one"},
    ]
    manifest = tmp_path / "in.jsonl"
    write_manifest(manifest, given)
    vad, asr = tmp_path / "vad.jsonl", tmp_path / "asr.jsonl"
    types = ["AudioNotFound", None, "AudioTruncated", "AudioUnreadable"]
    for source, command, out in (
        ((manifest, tmp_path / "text.wav"), ("vad",), vad),
        ((vad,), ASR, asr),
    ):
        done = speechkit(*command, *source, "-o", out, code=3)
        found = records(out)
        assert [record.get("error", {}).get("type") for record in found] == types
        assert "3 failed" in done.err
        assert all(kind in done.err for kind in types if kind)
    failed = [record for record in found if "error" in record]
    assert all(record["pred_text"] == "" for record in failed)
    assert failed[0]["note"] == 1
    assert failed[0]["error"]["message"] == f"{tmp_path}/none.wav: no such file"
    score = json.loads(speechkit("score", asr, "--json", code=3).out)
    whole = json.dumps(score)
    assert score["failed"] == 3, whole
    piped, codes = pipe(["vad", manifest], [*ASR, "-"], ["score", "-", "--json"])
    assert codes == [3, 3, 3]
    assert json.loads(piped)["failed"] == 2


def test_nobody_reads_the_output(recordings: Path) -> None:
    command = [sys.executable, "-m", "speechkit", "vad", str(recordings)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert errors == b""


def test_a_failed_first_stage_stops_the_pipe(tmp_path: Path) -> None:
    out, codes = pipe(["vad", tmp_path / "none"], [*ASR, "-"], ["score", "-"])
    assert out == b""
    assert codes[:2] == [2, 2]


@pytest.mark.slow
def test_real_speech_is_recognised(speechkit: Any, data: Path, tmp_path: Path) -> None:
    """Fourteen seconds of three speakers: 0.17 at the time of writing."""
    vad, asr, summary = (tmp_path / name for name in ("vad.jsonl", "asr.jsonl", "score.json"))
    lines = records(data / "asr" / "manifest.jsonl")
    given = [
        {**line, "audio_filepath": str(data / "asr" / line["audio_filepath"])}
        for line in (*lines[3:8], lines[10])
    ]
    speechkit("vad", write_manifest(tmp_path / "given.jsonl", given), "-o", vad)
    speechkit("asr", "--engine", "pocketsphinx", vad, "-o", asr)
    speechkit("score", asr, "--summary", summary)
    wer = json.loads(summary.read_text())["wer"]
    assert wer <= 0.2
    heard = records(asr)
    assert [one["audio_filepath"] for one in heard] == [one["audio_filepath"] for one in given]
    assert all(one["pred_text"] for one in heard)
