"""The command finetune: what it refuses, and how it explains itself. Its trainings are in
tests/faults/test_finetune_kill.py."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from runkit import records, write_manifest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "data.jsonl", [{"audio_filepath": "a.wav", "text": "one"}])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--model out/last", "--model out/last: lies in "),
        ("--context 40", "--context 40: from 0.2 to 30 s"),
        ("--context 2.01", "--context 2.01: a multiple of 0.02 s"),
        ("--context long", "--context long: seconds, or auto"),
        ("--speed 1", "--speed 1: the largest change, below 1"),
        ("--guard data.jsonl", "--guard: needs --eval"),
        ("--eval data.jsonl --guard-budget 2", "--guard-budget: needs --guard"),
        ("--patience 3", "--patience: needs --eval"),
        ("--export ct2", "--export: needs --eval"),
        ("--lora-targets q_proj --lora-alpha 3", "--lora-alpha, --lora-targets: only with --lora"),
        ("--lora 4 --lora-targets q_proj,", "--lora-targets q_proj,: names of layers"),
        ("--snr 5,25", "--snr: only with --noise"),
        ("--noise . --snr 25,5", "--snr 25,5: two numbers, the lower one first"),
        ("--noise nowhere", "--noise nowhere: no such folder"),
        ("--steps 3 --epochs 2", "--steps and --epochs exclude each other"),
        ("--steps 5 --warmup 5", "--warmup 5: has to end before the last of --steps 5"),
        ("--steps 0", "0 is not in the range x>=1"),
        ("--learning-rate 2", "--learning-rate 2: above 0 and below 1"),
        ("--clip 0", "--clip 0: above 0"),
        ("--compute-type int8", "--compute-type int8: there are auto, float32"),
        ("--metric mer", "--metric mer: there are wer, cer"),
        ("--batch-size 0", "--batch-size 0: a number from 1 on, or auto"),
        ("--eval gone.jsonl", "--eval gone.jsonl: no such file or folder"),
        ("--metrics data.jsonl", "--metrics data.jsonl: is an input too"),
        ("--output-dir data.jsonl", "is no folder"),
        ("-", "-: a training reads its input several times"),
    ],
)
def test_wrong_options_are_refused(speechkit: Any, data: Path, options: str, sentence: str) -> None:
    words = ["--model", "nowhere/model", "--output-dir", "out", *options.split()]
    done = speechkit("finetune", data.name, *words, code=2, cwd=data.parent)
    assert sentence in " ".join(done.err.split())
    assert not (data.parent / "out").exists()


def test_the_model_and_the_output_are_needed(speechkit: Any, data: Path) -> None:
    done = speechkit("finetune", data, "--output-dir", data.parent / "out", code=2)
    assert "--model: needed" in done.err
    done = speechkit("finetune", data, "--model", "base", code=2)
    assert "--output-dir: needed" in done.err


def test_a_missing_model_is_named(speechkit: Any, data: Path) -> None:
    words = ["--output-dir", data.parent / "out", "--offline"]
    done = speechkit("finetune", data, "--model", "/nowhere/model", *words, code=1)
    assert "model /nowhere/model: no such folder" in done.err
    done = speechkit("finetune", data, "--model", "large-v3", *words, code=1)
    assert "speechkit models get large-v3 --engine whisper" in done.err
    assert not (data.parent / "out").exists()


def test_nothing_trainable(
    speechkit: Any, untrained: dict[str, Path], data: Path, examples: Path
) -> None:
    """Without text, or without audio: a sentence, and no model."""
    audio = min((examples / "slt").glob("*.flac"))
    lines = [{"audio_filepath": str(audio), "text": ""}, {"audio_filepath": "a.wav", "text": "one"}]
    write_manifest(data, lines)
    out = data.parent / "out"
    command = ["finetune", data, "--model", untrained["whisper"], "--output-dir", out]
    for _ in range(2):  # the second time from what the first has validated
        done = speechkit(*command, code=1)
        assert "nothing can be trained on: all 2 utterances were skipped" in done.err
        assert not [name for name in ("best", "last", "summary.json") if (out / name).exists()]
        assert not (out / "checkpoints").exists()
        accounted = records(out / "training-data.jsonl")
        assert [one["used"] for one in accounted] == [0, 0]
        assert all(one["skipped"] for one in accounted)
    write_manifest(data, [*lines, lines[1]])  # nothing was learnt from the former input
    assert "all 3 utterances" in speechkit(*command, code=1).err


def test_the_examples_of_the_page_are_right(speechkit: Any, tmp_path: Path) -> None:
    """But for their data, which is not there."""
    page = (DOCS / "finetune.md").read_text()
    commands = re.findall(r"^speechkit finetune (?:[^\n\\]|\\\n)*", page, re.MULTILINE)
    commands = [command for command in commands if "--help" not in command]
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command.replace("\\\n", " "))[1:]
        done = speechkit(*words, code=2, cwd=tmp_path)
        assert re.search(r"\.jsonl: no such file or folder$", done.err.strip()), command
