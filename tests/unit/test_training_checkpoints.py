"""Checkpoints that are damaged, disks that are full, and folders that are somebody else's."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from speechkit.engines.finetune.ranks import Ranks
from speechkit.errors import (
    EngineMissing,
    OutputConflict,
    OutputFailed,
    TrainingInterrupted,
    UsageError,
)
from speechkit.io.run_identity import RunIdentity
from speechkit.training import sealed_folder
from speechkit.training.checkpoints import BEST, LINKED, Checkpoints
from speechkit.training.options import Augmentation, FinetuneOptions
from speechkit.training.resume import resume
from speechkit.training.run_folder import RunFolder, identity
from speechkit.training.state import TrainingState
from trainingkit import (
    UTTERANCES,
    Heard,
    Trainer,
    loop_options,
    run_training,
)

STATE = TrainingState(used=(0,) * UTTERANCES)


def written(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.write(replace(STATE, step=step), Trainer())
    return checkpoints


def newest(folder: Path) -> int | None:
    """As another process finds it."""
    found = Checkpoints(folder).newest()
    return found.state.step if found else None


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


def test_every_damaged_file_is_found_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = written(tmp_path / "whole", 2, 4).path(4)
    files = sealed_folder.files(folder)
    assert len(files) == 5
    for path in files:
        content, name = path.read_bytes(), path.relative_to(folder)
        damages = [content[:-1], b"", None]
        for place in (0, len(content) // 2, len(content) - 1):
            flipped = bytes([content[place] ^ 1])
            damages.append(content[:place] + flipped + content[place + 1 :])
        for damaged in damages:
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            caplog.clear()
            assert newest(tmp_path / "whole") == 2, (name, damaged)
            (message,) = caplog.messages
            reason = "" if path.name == sealed_folder.CHECKSUMS else f"{name} is "
            assert message.startswith(f"{folder}: passed over, because {reason}"), message
            path.write_bytes(content)
    assert newest(tmp_path / "whole") == 4


def test_a_training_goes_on_before_a_damaged_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = loop_options(steps=6, rate=0.1)
    expected = run_training(tmp_path / "unbroken", options)
    run_training(tmp_path / "damaged", options)
    weights = tmp_path / "damaged" / "checkpoints" / "step-000006" / "training.safetensors"
    os.truncate(weights, 100)
    heard = Heard()
    state = run_training(tmp_path / "damaged", options, listener=heard)
    assert [info.step for info in heard.steps] == [5, 6]
    assert state.used == expected.used
    assert len(caplog.messages) == 1
    assert newest(tmp_path / "damaged") == 6
    same = (tmp_path / name / "last" / "model.safetensors" for name in ("unbroken", "damaged"))
    assert len({path.read_bytes() for path in same}) == 1


class Picky(Trainer):
    """Can't restore what it has written."""

    def restore(self, folder: Path) -> None:
        raise ValueError("of another model")


def test_checkpoints_that_cannot_be_restored(tmp_path: Path) -> None:
    checkpoints = written(tmp_path, 2, 4)
    with pytest.raises(OutputConflict, match="no checkpoint can be restored; start over"):
        resume(Picky(), checkpoints, Ranks(), UTTERANCES)
    with pytest.raises(OutputConflict):
        resume(Trainer(), written(tmp_path), Ranks(), UTTERANCES + 1)
    trainer = Trainer()
    trainer.batch_size = 7
    checkpoints.write(replace(STATE, step=6, batch_size=3), trainer)
    assert resume(trainer, written(tmp_path), Ranks(), UTTERANCES).step == 6
    assert trainer.batch_size == 3


def test_what_killed_writers_leave_is_put_right(tmp_path: Path) -> None:
    checkpoints = written(tmp_path, 2, 4)
    checkpoints.publish(2, BEST)
    home = tmp_path / "checkpoints"
    (tmp_path / BEST).rename(tmp_path / ".best.old")
    shutil.copytree(home / "step-000004" / "model", tmp_path / ".best.new")
    shutil.copytree(home / "step-000004", home / ".step-000004.old")
    (home / ".step-000006.new" / "model").mkdir(parents=True)
    (home / ".step-000001.gone").mkdir()
    (tmp_path / ".best.notes").mkdir()
    Checkpoints(tmp_path).sweep()
    assert [path.name for path in hidden(tmp_path)] == [".best.notes"]
    assert checkpoints.steps() == [2, 4]
    assert (tmp_path / BEST / "model.safetensors").is_file()


def test_what_is_kept(tmp_path: Path) -> None:
    checkpoints = written(tmp_path, *range(11))
    os.truncate(checkpoints.path(9) / "model" / "config.json", 0)
    again = Checkpoints(tmp_path)
    again.prune(best=3, every=5, good=7)
    assert again.steps() == [3, 5, 7, 8, 10]
    again.write(replace(STATE, step=12, best=8), Trainer())
    again.write(replace(STATE, step=14, best=14), Trainer())
    again.prune(best=14, every=0, good=13)
    assert again.steps() == [8, 12, 14], "step 12 may be returned to, whose best is 8"


def test_large_files_are_linked_and_those_that_people_edit_are_copied(tmp_path: Path) -> None:
    class Large(Trainer):
        def save_model(self, folder: Path) -> None:
            super().save_model(folder)
            (folder / "large.bin").write_bytes(bytes(LINKED))

    checkpoints = Checkpoints(tmp_path)
    model = checkpoints.write(replace(STATE, step=2), Large()) / "model"
    for _ in range(2):
        best = checkpoints.publish(2, BEST)
        assert (best / "large.bin").samefile(model / "large.bin")
        (best / "config.json").write_text("edited")
        assert newest(tmp_path) == 2
    best.rename(tmp_path / "elsewhere")
    best.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputConflict, match="is a link"):
        checkpoints.publish(2, BEST)


class Cutting(Trainer):
    """Writes half a file, as a library that checks nothing may."""

    def save_state(self, folder: Path) -> None:
        super().save_state(folder)
        os.truncate(folder / "training.safetensors", 150)


def test_a_file_that_was_not_written_as_a_whole_makes_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = written(tmp_path, 2)
    with pytest.raises(OutputFailed, match="can't be written: was not written as a whole"):
        checkpoints.write(replace(STATE, step=4), Cutting())
    assert (checkpoints.steps(), hidden(tmp_path)) == ([2], [])


def test_a_disk_that_gives_back_other_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = written(tmp_path, 2)

    def decay(descriptor: int, *_: int) -> None:
        with open(f"/proc/self/fd/{descriptor}", "r+b") as file:
            file.write(b"\xff")

    monkeypatch.setattr(os, "posix_fadvise", decay)
    with pytest.raises(OutputFailed, match="the disk gives back other bytes"):
        checkpoints.write(replace(STATE, step=4), Trainer())
    assert (checkpoints.steps(), hidden(tmp_path)) == ([2], [])


class Growing(Trainer):
    """From the second checkpoint on it has no room."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self._how, self._saved = how, 0

    def save_state(self, folder: Path) -> None:
        super().save_state(folder)
        self._saved += 1
        if self._saved > 1 and self._how == "python":
            (folder / "more.bin").write_bytes(bytes(1 << 20))
        elif self._saved > 1:
            save_file({"more": np.zeros(1 << 20, np.uint8)}, folder / "more.safetensors")


@contextmanager
def small_files() -> Iterator[None]:
    """No file can be longer than half a megabyte."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("how", ["python", "safetensors"])
def test_no_room_for_a_checkpoint(how: str, tmp_path: Path) -> None:
    options = loop_options(steps=6, rate=0.1)
    with (
        small_files(),
        pytest.raises(TrainingInterrupted, match="step-000002: can't be written: File too") as e,
    ):
        run_training(tmp_path, options, trainer=Growing(how))
    assert e.value.exit_code == 75
    assert "make room, and run the same command again" in str(e.value)
    assert (newest(tmp_path), hidden(tmp_path)) == (0, [])
    assert run_training(tmp_path, options).step == 6


OPTIONS = {"seed": 0, "lora": {"rank": 4, "dropout": 0.0}}
IDENTITY = RunIdentity("finetune", OPTIONS, "abc", 5)


def test_a_folder_is_one_trainings_and_says_what_differs(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with RunFolder(out, IDENTITY) as folder:
        assert not folder.is_done
        run_training(out)
        (out / "summary.json").write_text("{}")
        with pytest.raises(OutputConflict, match="another training is writing this folder"):
            RunFolder(out, IDENTITY, restart=True).__enter__()
    with RunFolder(out, IDENTITY) as folder:
        assert folder.is_done
    for other, difference in (
        (replace(IDENTITY, options={**OPTIONS, "seed": 1}), "seed 0, now 1"),
        (replace(IDENTITY, options={**OPTIONS, "lora": None}), "rank 4, now None"),
        (replace(IDENTITY, input="abd"), "another input"),
    ):
        with pytest.raises(OutputConflict, match=f"a training with .*{difference}.*--restart"):
            RunFolder(out, other).__enter__()
    (out / "notes.txt").write_text("mine")
    (out / "checkpoints" / "notes.txt").write_text("mine")
    shutil.copytree(out / "last", out / "checkpoints" / "step-000004-mine")
    other = replace(IDENTITY, input="abd")
    with RunFolder(out, other, restart=True) as folder:
        assert not folder.is_done
    left = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    mine = [f"step-000004-mine/{name}" for name in ("config.json", "model.safetensors")]
    kept = [f"checkpoints/{name}" for name in ("notes.txt", *mine)]
    assert left == [".lock", *kept, "notes.txt", "run.json"]
    with RunFolder(out, other):
        assert run_training(out).step == 4


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    for restart in (False, True):
        with pytest.raises(OutputConflict, match=r"holds other files \(best\) and no training"):
            RunFolder(tmp_path, IDENTITY, restart=restart).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    for content in (b"", b"[]", b'{"run": {}}'):
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(OutputConflict, match="is not the record of a training"):
            RunFolder(tmp_path, IDENTITY, restart=True).__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="can't be written"):
        RunFolder(tmp_path / "file", IDENTITY).__enter__()


def test_the_identity_holds_what_the_result_depends_on(tmp_path: Path) -> None:
    for name in ("train", "eval"):
        line = {"audio_filepath": f"{name}.wav", "text": "one", "duration": 1.0}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    model, noise = tmp_path / "model", tmp_path / "noise"
    for folder, name in ((model, "model.safetensors"), (noise, "hum.wav")):
        folder.mkdir()
        (folder / name).write_bytes(b"1234")
    train, evaluation = str(tmp_path / "train.jsonl"), str(tmp_path / "eval.jsonl")
    options = FinetuneOptions(
        train=(train,),
        evaluation=(evaluation,),
        guards=(evaluation,),
        model="m",
        output=tmp_path / "out",
        augmentation=Augmentation(noise=noise),
    )
    first = identity(options, model)
    known = json.loads(json.dumps(first.header()))
    assert first.difference(known) is None
    same = {"model": "n", "device": "cuda", "batch_size": 3, "save_every": 9, "restart": True}
    assert identity(replace(options, **same), model).difference(known) is None
    for change, name in (
        ({"steps": 9}, "steps"),
        ({"guards": ()}, "guard_sets"),
        ({"evaluation": (train,)}, "evaluation_set"),
        ({"augmentation": Augmentation(noise=noise, gain=3.0)}, "gain"),
    ):
        difference = identity(replace(options, **change), model).difference(known)  # type: ignore[arg-type]
        assert difference
        assert difference.startswith(f"{name} "), difference
    (model / "model.safetensors").write_bytes(b"1235")
    assert "model_files" in str(identity(options, model).difference(known))
    with pytest.raises(EngineMissing, match="can't be read"):
        identity(options, tmp_path / "none")
    with pytest.raises(UsageError, match="stdin can be read only once"):
        identity(replace(options, guards=("-",)), model)
