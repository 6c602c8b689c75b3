"""A disk that is full, or can't be written, while a training goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faultkit import remount, tmpfs

from speechkit.errors import TrainingInterrupted
from speechkit.training.checkpoints import Checkpoints
from trainingkit import loop_options, run_training

PAGE = 4096


def test_a_disk_that_fills_up_leaves_a_whole_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    options = loop_options(rate=0.1)
    run_training(tmp_path / "unbroken", options)
    expected = (tmp_path / "unbroken" / "last" / "model.safetensors").read_bytes()
    reached: list[int | None] = []
    with tmpfs(tmp_path / "small", "size=1m") as disk:
        for pages in range(4, 40, 2):
            out = disk / str(pages)
            remount(disk, f"size={pages * PAGE}")
            try:
                run_training(out, options)
            except TrainingInterrupted as e:
                assert e.exit_code == 75
                assert "No space left on device" in str(e)
            else:
                break
            assert not list(out.rglob(".*"))
            newest = Checkpoints(out).newest()
            reached.append(newest.state.step if newest else None)
            remount(disk, "size=1m")
            assert run_training(out, options).step == 4
            assert (out / "last" / "model.safetensors").read_bytes() == expected
            shutil.rmtree(out)
    assert set(reached) == {None, 0, 2, 4}


def test_a_disk_that_becomes_read_only(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "fixed", "size=1m") as disk:
        run_training(disk / "out", loop_options(steps=2))
        remount(disk, "ro")
        with pytest.raises(TrainingInterrupted, match="Read-only file system"):
            run_training(disk / "out")
        assert Checkpoints(disk / "out").newest() is not None
