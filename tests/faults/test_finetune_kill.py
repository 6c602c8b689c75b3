"""Trainings that are killed, stopped and given bad data: nothing is lost but time.

The training runs in forks of this process, which has imported torch; its own workers are processes
as ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from audiokit import cut_speech
from runkit import records, until, write_manifest
from speechkit.errors import NothingToTrain, SpeechkitError
from speechkit.runtime import logs
from speechkit.training.finetune import FinetuneOptions, finetune
from speechkit.training.summary import Pace

pytest.importorskip("peft")

KILLS = int(os.environ.get("SPEECHKIT_KILLS", "2"))  # 20: a longer training, of this test alone
STEPS = max(12, 4 * KILLS)
BAD = (3, 7, 11)
LIMIT = 240.0  # seconds of a process


@pytest.fixture(scope="module")
def options(
    untrained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> FinetuneOptions:
    """A training of 21 utterances and three that can't be trained on."""
    folder = cut_speech(tmp_path_factory.mktemp("speech"), 24, longest=1.6, seed=4)
    audio = sorted(folder.glob("*/*.wav"))
    lines = [
        {"audio_filepath": str(path), "text": f"word {n}", "lang": "en"}
        for n, path in enumerate(audio)
    ]
    soundfile.write(folder / "nan.wav", np.full(8000, np.nan), 16_000, subtype="FLOAT")
    lines[3]["audio_filepath"] = str(folder / "nan.wav")
    lines[7]["text"] = " ".join(map(str, range(449)))
    lines[11]["audio_filepath"] = str(folder / "gone.wav")
    return FinetuneOptions(
        train=(str(write_manifest(folder / "in.jsonl", lines)),),
        model=str(untrained["whisper"]),
        output=folder / "unbroken",
        steps=STEPS,
        examples_per_step=4,
        save_every=2,
        learning_rate=1e-3,
        device="cpu",
        workers=1,
    )


def started(options: FinetuneOptions) -> int:
    """A process that trains and ends with the exit code of the command."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    torch.set_num_threads(1)  # those of this process's pool are not there in its forks
    logs.configure(logs.LogSettings())
    try:
        summary = finetune(options, signals=True)
        code = 1 if summary.complete_already else summary.exit_code
    except SpeechkitError as e:
        print(e, file=sys.stderr)
        code = e.exit_code
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Its exit code; a process that hangs is killed, and has that of the signal."""
    timer = threading.Timer(LIMIT, os.kill, (pid, signal.SIGKILL))
    timer.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        timer.cancel()


def steps(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b'"event": "step"') if metrics.exists() else 0


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "last" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def unbroken(options: FinetuneOptions) -> str:
    """The hash of its weights."""
    assert ended(started(options)) == 3
    return weights(options.output)


def test_bad_data_are_listed(options: FinetuneOptions, unbroken: str) -> None:
    lines = records(options.output / "training-data.jsonl")
    assert len(lines) == 24
    assert sum(line["used"] for line in lines) == 2 * 21  # 12 steps are two epochs
    for index, line in enumerate(lines):
        assert bool(line["used"]) != (index in BAD)
        assert ("skipped" in line) == (index in BAD)
    summary = json.loads((options.output / "summary.json").read_text())
    assert (summary["trained"], summary["exit_code"]) == (21, 3)
    assert sum(summary["skipped"].values()) >= len(BAD)
    before = (options.output / "summary.json").stat().st_mtime_ns
    again = finetune(options)
    assert (again.complete_already, again.exit_code) == (True, 3)
    assert (options.output / "summary.json").stat().st_mtime_ns == before


def has_come(folder: Path, done: int, *, writing: bool) -> bool:
    """Whether so many steps are done or, if asked for, a checkpoint is being written."""
    if writing:
        return any((folder / "checkpoints").glob(".step-*"))
    return steps(folder) >= done


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_kills_and_a_damaged_checkpoint_change_no_bit(
    options: FinetuneOptions, unbroken: str, capfd: pytest.CaptureFixture[str]
) -> None:
    killed = replace(options, output=options.output.with_name("killed"))
    chance = random.Random(18)
    for number in range(KILLS):
        pid = started(killed)
        done = steps(killed.output) + chance.randrange(1, 4)
        until(partial(has_come, killed.output, done, writing=number % 2 > 0), every=0.001)
        time.sleep(chance.random() * 0.01)
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
    pid = started(killed)
    until((killed.output / "checkpoints" / "step-000006").exists)
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    newest = max((killed.output / "checkpoints").glob("step-*"))
    flip_a_bit(newest / "model" / "model.safetensors")
    capfd.readouterr()
    assert ended(started(killed)) == 3
    assert f"{newest.name}: passed over" in capfd.readouterr().err
    assert weights(killed.output) == unbroken
    theirs, ours = (records(one / "training-data.jsonl") for one in (options.output, killed.output))
    assert ours == theirs
    runs = [one for one in records(killed.output / "metrics.jsonl") if one["event"] == "run"]
    assert len(runs) >= 2


def test_a_signal_saves_and_ends(options: FinetuneOptions, unbroken: str) -> None:
    stopped = replace(options, output=options.output.with_name("stopped"), save_every=100)
    pid = started(stopped)
    until(lambda: steps(stopped.output) >= 3)
    os.kill(pid, signal.SIGINT)
    assert ended(pid) == 75
    lines = records(stopped.output / "metrics.jsonl")
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("end", 75)
    assert {one["step"] for one in lines if one["event"] == "checkpoint"} > {0}
    assert ended(started(stopped)) == 3
    assert weights(stopped.output) == unbroken


class Unplugging(Pace):
    """Takes the audio away before the first step."""

    def __init__(self, audio: Path) -> None:
        super().__init__()
        self._audio = audio

    def saved(self, step: int) -> None:
        self._audio.unlink(missing_ok=True)


def test_a_training_that_learns_nothing_is_none(options: FinetuneOptions) -> None:
    lines = records(Path(options.train[0]))[:1]
    audio = options.output.with_name("only.wav")
    shutil.copy(lines[0]["audio_filepath"], audio)
    line = {**lines[0], "audio_filepath": str(audio)}
    train = write_manifest(options.output.with_name("one.jsonl"), [line])
    out = options.output.with_name("nothing")
    one = replace(options, train=(str(train),), output=out, steps=2, batch_size=3)
    with pytest.raises(NothingToTrain, match="nothing was learnt in 2 steps: 0 had"):
        finetune(one, listener=Unplugging(audio))
    (line,) = records(out / "training-data.jsonl")
    assert (line["used"], line["error"]["type"]) == (0, "AudioNotFound")
    assert not (out / "summary.json").exists()


def test_the_page_shows_the_curves(
    speechkit: Any, options: FinetuneOptions, unbroken: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    done = speechkit("report", options.output, "-o", page)
    assert f"1 run, {STEPS} steps" in done.err
    text = page.read_text()
    for curve in ("Loss", "Norm of the gradients", "Learning rate", "Speed", "Memory"):
        assert f"<figcaption>{curve}" in text
    loss = [one["loss"] for one in records(options.output / "metrics.jsonl") if "loss" in one]
    assert len(loss) == STEPS
    assert text.count('class="series-0 line"') >= 5
