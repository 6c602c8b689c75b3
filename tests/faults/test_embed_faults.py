"""Vectors outlive kills, full disks and other runs; the light engine of `spectral` makes them."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faultkit import Run, remount, tmpfs

from embedkit import embed, installed, register
from runkit import entries, part_of, tree, until, write_manifest
from speechkit.errors import Drained, OutputConflict, OutputFailed
from speechkit.io.embedding_shards import INDEX, load_embeddings
from speechkit.io.journal import Journal
from speechkit.io.run_identity import RunIdentity
from speechkit.runtime import runner

DYING = (sys.executable, "-m", "dying")
WIDE = {"width": 401}
SHARD = "embeddings-00000.npy"


@pytest.fixture(autouse=True)
def _spectral(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture(scope="module")
def whole(few: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run that nobody disturbs makes of few utterances."""
    folder = tmp_path_factory.mktemp("whole") / "vectors"
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        embed(few, folder, WIDE)
    return tree(folder)


@pytest.mark.slow
def test_kills_of_a_run_and_of_its_publication(
    speech: Path, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two while it works, then two while it publishes: the bytes are those of one run."""
    env = installed(tmp_path / "site")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    folder, whole = tmp_path / "vectors", tmp_path / "whole"
    embed(speech, whole, shard_rows=50)
    command = ["embed", speech, "--engine", "spectral", "--output-dir", folder]
    command += ["--shard-rows", 50, "--workers", 1]
    rng = random.Random(seed)
    for after in (1, 80):
        going = Run(tmp_path, *command)
        until(lambda after=after: entries(folder / INDEX) >= after)
        going.process.kill()
        assert going.wait().code == -signal.SIGKILL
        assert entries(folder / INDEX) < 160
    for after in (1, 40):
        step = f"p{rng.randrange(after, 3 * after)}"
        killed = Run(tmp_path, step, *command, command=DYING).wait()
        assert killed.code == -signal.SIGKILL, killed.err
        assert part_of(folder / INDEX).exists()
        assert not (folder / INDEX).exists()
    assert embed(speech, folder, shard_rows=50).done == 0
    assert tree(folder) == tree(whole)


@pytest.mark.parametrize("filled", ["journal", "shards"])
def test_a_full_disk(filled: str, few: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """It fills up while results come, or when the shards are written: nothing is lost."""
    size = sum(map(len, whole.values())) * (5 if filled == "journal" else 18) // 10
    with tmpfs(tmp_path / "small", f"size={size // 4096 * 4096}") as disk:
        folder = disk / "vectors"
        with pytest.raises(OutputFailed, match="No space left on device"):
            embed(few, folder, WIDE, workers=1)
        there = entries(folder / INDEX)
        assert (there == 24) is (filled == "shards")
        assert not list(folder.glob("*.npy"))
        assert not list(folder.glob(".*.tmp"))
        remount(disk, "size=8m")
        assert embed(few, folder, WIDE).done == 24 - there
        assert tree(folder) == whole


def test_a_read_only_folder(few: Path, tmp_path: Path) -> None:
    refused = pytest.raises(OutputFailed, match="Read-only file system")
    with tmpfs(tmp_path / "fixed", "ro") as disk, refused:
        embed(few, disk / "vectors")


def test_two_runs_into_one_folder(few: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    with Journal(folder / INDEX, RunIdentity("embed", {}, "", 1)):
        for options in ({}, {"restart": True}, {"retry_failed": True}):
            with pytest.raises(OutputConflict, match="another run is writing this output"):
                embed(few, folder, **options)


def test_vectors_of_another_program_are_not_replaced(few: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    folder.mkdir()
    foreign = folder / "embeddings-00003.npy"
    np.save(foreign, np.zeros((2, 2)))
    before = foreign.read_bytes()
    with pytest.raises(OutputConflict, match="no run of speechkit has written it"):
        embed(few, folder)
    assert foreign.read_bytes() == before
    embed(few, folder, restart=True)
    assert [path.name for path in folder.glob("*.npy")] == ["embeddings-00000.npy"]


def _flip_vectors(part: Path, seed: int) -> int:
    """Damage some lines of a journal; return their number."""
    lines = part.read_bytes().splitlines(keepends=True)
    chosen = random.Random(seed).sample(range(1, len(lines)), 3)
    for number in chosen:
        line = bytearray(lines[number])
        at = line.index(b"embed_vectors") + 40
        line[at] ^= 1
        lines[number] = bytes(line)
    part.write_bytes(b"".join(lines))
    return len(chosen)


def test_bits_that_flip_in_the_journal(
    few: Path,
    whole: dict[str, bytes],
    seed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A damaged line is computed again; it never becomes a row."""
    folder = tmp_path / "vectors"

    def fail(*_: Any) -> None:
        raise Drained("stopped before it published")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "publish", fail)
        with pytest.raises(Drained):
            embed(few, folder, WIDE)
    damaged = _flip_vectors(part_of(folder / INDEX), seed)
    assert embed(few, folder, WIDE).done == damaged
    assert tree(folder) == whole
    assert not load_embeddings(folder).failed


def test_a_stopped_growth_goes_on(
    few: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at its start, while it takes over the rows there are: only new lines are computed,
    unless all were to be computed anew."""
    lines = [{"audio_filepath": str(path)} for path in sorted(few.rglob("*.wav"))]
    source = write_manifest(tmp_path / "all.jsonl", lines)
    start = write_manifest(tmp_path / "start.jsonl", lines[:16])

    def stop(*_: Any, **__: Any) -> None:
        raise Drained("stopped")

    def stopped(folder: Path, **options: Any) -> None:
        embed(start, folder, WIDE)
        with monkeypatch.context() as patch:
            patch.setattr(runner, "drop_invalid", stop)
            with pytest.raises(Drained):
                embed(source, folder, WIDE, **options)
        assert part_of(folder / INDEX).exists()

    stopped(tmp_path / "grown")
    assert embed(source, tmp_path / "grown", WIDE).done == 8
    assert (tmp_path / "grown" / SHARD).read_bytes() == whole[SHARD]
    stopped(tmp_path / "anew", restart=True)
    assert embed(source, tmp_path / "anew", WIDE).done == 24
