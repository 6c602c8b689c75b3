"""Disks that are full or can't be written, and two runs that want the same place."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from faultkit import Run, Unbroken, one_sentence, remount, run, tmpfs

from runkit import entries, until, write_manifest

HAZARD = (sys.executable, "-m", "hazard")


@pytest.mark.parametrize("stage", ["journal", "publish"])
def test_a_full_disk(stage: str, ten: Unbroken, tmp_path: Path) -> None:
    """It fills up while results come, or when they are copied to their final name."""
    _fill_disk(stage, ten, tmp_path)


def test_a_disk_that_fills_up_as_a_data_set_is_judged(validate: Unbroken, tmp_path: Path) -> None:
    _fill_disk("publish", validate, tmp_path)


def _fill_disk(stage: str, unbroken: Unbroken, tmp_path: Path) -> None:
    size = len(unbroken.output) * (5 if stage == "journal" else 14) // 10
    with tmpfs(tmp_path / "small", f"size={size // 4096 * 4096}") as disk:
        out = disk / "out.jsonl"
        result = run(tmp_path, *unbroken.args, "-o", out)
        assert result.code == 1
        assert "No space left on device" in one_sentence(result)
        assert not out.exists()
        assert [path.name for path in disk.iterdir()] == ["out.jsonl.part"]
        there = entries(out)
        assert (
            there == unbroken.utterances if stage == "publish" else 0 < there < unbroken.utterances
        )
        remount(disk, "size=8m")
        again = run(tmp_path, *unbroken.args, "-o", out)
        assert again.code == 0, again.err
        assert out.read_bytes() == unbroken.output
        if stage == "publish":
            assert "nothing computed" in again.err


def test_a_read_only_folder(ten: Unbroken, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "fixed", "ro") as disk:
        result = run(tmp_path, *ten.args, "-o", disk / "out.jsonl")
        assert result.code == 1
        assert "Read-only file system" in one_sentence(result)
        opening = tmp_path / "opening"
        source = write_manifest(tmp_path / "in.jsonl", [{"audio_filepath": "/none"}])
        command = [source, disk / "out.jsonl", "--opening", opening]
        assert run(tmp_path, *command, command=HAZARD).code == 1
        assert not opening.exists(), "an engine was built for nothing"


def test_a_finished_output_on_a_read_only_disk(ten: Unbroken, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "fixed", "size=8m") as disk:
        out = disk / "out.jsonl"
        assert run(tmp_path, *ten.args, "-o", out).code == 0
        remount(disk, "ro")
        result = run(tmp_path, *ten.args, "-o", out)
        assert result.code == 0
        assert "complete already" in result.err


def test_two_runs_on_one_output(ten: Unbroken, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    first = Run(tmp_path, *ten.args, "-o", out)
    until(lambda: entries(out) > 0)
    first.process.send_signal(signal.SIGSTOP)  # so that it is still there for all the others
    for more in ((), ("--restart",), ("--retry-failed",), ("--threshold", 0.6)):
        second = run(tmp_path, *ten.args, "-o", out, *more)
        assert second.code == 2
        assert "another run is writing this output" in one_sentence(second)
        assert second.seconds < 5
    first.process.send_signal(signal.SIGCONT)
    assert first.wait().code == 0
    assert out.read_bytes() == ten.output


@pytest.mark.slow
def test_a_disk_full_of_audio(s2s_models: Path, tmp_path: Path) -> None:
    """Ends the run in one sentence, instead of failing every utterance that is left."""
    lines = [{"id": str(number), "units": [number % 50] * 100} for number in range(20)]
    units = write_manifest(tmp_path / "units.jsonl", lines)
    vocoder = ["--vocoder", s2s_models / "vocoder" / "g.pt"]
    with tmpfs(tmp_path / "small", f"size={10 * 64_044 // 4096 * 4096}") as disk:
        out = tmp_path / "out.jsonl"
        command = ["s2s", units, "--from-units", *vocoder, "--output-dir", disk, "-o", out]
        result = run(tmp_path, *command, "--workers", 1)
        assert result.code == 1
        *progress, last = result.err.splitlines()
        assert last.startswith("speechkit: ")
        assert last.endswith("can't be written: No space left on device")
        assert all(line.startswith("s2s: ") for line in progress)
        assert not out.exists()
        assert all(path.stat().st_size == 64_044 for path in disk.glob("*.wav"))
        assert not list(disk.glob(".speechkit-run-*"))
        remount(disk, "size=8m")
        again = run(tmp_path, *command)
        assert again.code == 0, again.err
        assert sorted(path.stem for path in disk.glob("*.wav")) == sorted(map(str, range(20)))
