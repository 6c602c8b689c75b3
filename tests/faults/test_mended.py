"""Traps that a run once fell into."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from faultkit import one_sentence, run

from audiokit import repeated_story
from runkit import records, write_manifest
from sphinxkit import QUICK

ASR = ("asr", *QUICK)


def test_many_slow_utterances_cost_themselves_alone(tmp_path: Path) -> None:
    folder, out = tmp_path / "long", tmp_path / "out.jsonl"
    folder.mkdir()
    for number in range(12):
        repeated_story(folder / f"{number}.wav", 15)
    slow = run(tmp_path, *ASR, folder, "-o", out, "--time-limit", 0.0001)
    assert slow.code == 3, slow.err
    assert [record["error"]["type"] for record in records(out)] == ["TimeLimit"] * 12


def test_a_run_that_never_started_does_not_hold_its_output(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    failed = run(tmp_path, *ASR, few, "-o", out, "--model", tmp_path / "nothing")
    assert failed.code == 1
    assert "not a PocketSphinx model" in one_sentence(failed)
    assert run(tmp_path, *ASR, few, "-o", out, "--limit", 2).code == 0


def test_an_output_that_is_an_input_is_refused(few: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    assert run(tmp_path, "manifest", few, "-o", data).code == 0
    before = data.read_bytes()
    assert "is an input too" in one_sentence(run(tmp_path, "vad", data, "-o", data, "--restart"))
    assert data.read_bytes() == before


def test_other_options_are_named_one_by_one(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(tmp_path, "vad", few, "-o", out).code == 0
    other = run(tmp_path, "vad", few, "-o", out, "--threshold", 0.7)
    assert other.code == 2
    assert "with threshold 0.45, now 0.7;" in one_sentence(other)


def test_segments_keep_nothing_that_was_said_of_the_whole(few: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert run(tmp_path, "vad", few, "-o", whole, "--probabilities").code == 0
    assert run(tmp_path, "vad", whole, "-o", cut, "--emit", "segments").code == 0
    for record in records(cut):
        assert set(record) == {"audio_filepath", "offset", "duration", "parent"}


def test_a_slice_outside_its_file_is_an_error_of_manifest(few: Path, tmp_path: Path) -> None:
    audio = str(next(few.glob("*/*.wav")))
    lines = [{"audio_filepath": audio, "offset": 500.0}, {"audio_filepath": audio, "duration": 500}]
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    write_manifest(data, lines)
    assert run(tmp_path, "manifest", data, "-o", out).code == 3
    assert [record["error"]["type"] for record in records(out)] == ["AudioTruncated"] * 2
    assert run(tmp_path, "vad", out, "-o", tmp_path / "vad.jsonl").code == 3


def test_a_module_in_the_current_folder_is_not_imported(few: Path, tmp_path: Path) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('imported from the data folder')")
    command = [Path(sys.executable).with_name("speechkit"), "vad", few, "-o", "out.jsonl"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert len(records(tmp_path / "out.jsonl")) == 24
