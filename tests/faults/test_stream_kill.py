"""``kill -9`` of a stream at any moment, and a disk that is full: the same command goes on, and
nobody can tell."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faultkit import remount, tmpfs

import loudness
from runkit import part_of, tree, until
from streamkit import Live, stream

KILLS = int(os.environ.get("SPEECHKIT_KILLS", "2"))  # of a file, and of a pipe
RATE = 16_000
STEP_BYTES = 4 * RATE // 2  # of half a second of f32, which the log of a pipe holds as it is
TEXTS = ("-f", "srt", "-f", "txt", "--output-dir")
RAW = ("-", "--rate", RATE, "--sample-format", "f32", "--pace", "max")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hypotheses take a moment, so that a kill can come between two."""
    return {**loudness.declared(tmp_path_factory.mktemp("site")), "LOUDNESS_SECONDS": "0.01"}


@pytest.fixture(scope="module")
def talk(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sentences, with pauses of several lengths, for each two kills."""
    parts: list[np.ndarray] = []
    for name, pause in (("slt/coffee", 0.3), ("rms/bridge", 3.0), ("awb/winter", 0.7)):
        parts.append(soundfile.read(examples / f"{name}.flac", dtype="float32")[0])
        parts.append(np.zeros(round(pause * RATE), np.float32))
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, np.concatenate(parts * max(1, KILLS // 2)), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def pcm(talk: Path) -> bytes:
    return soundfile.read(talk, dtype="float32")[0].astype("<f4").tobytes()


@pytest.fixture(scope="module")
def unbroken(env: dict[str, str], talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stream that nobody disturbs."""
    folder = tmp_path_factory.mktemp("unbroken")
    stream(env, talk, *TEXTS, folder)
    return folder


def _lines(out: Path) -> int:
    """Of the journal, the header left out."""
    part = part_of(out)
    return part.read_bytes().count(b"\n") - 1 if part.exists() else 0


def _has(out: Path, lines: int) -> bool:
    """Whether the journal has so many lines, or the stream has ended."""
    return out.exists() or _lines(out) >= lines


def test_kills_of_a_file_change_nothing(
    env: dict[str, str], talk: Path, unbroken: Path, tmp_path: Path, seed: int
) -> None:
    """Neither the events nor the text beside them."""
    chance, folder, codes = random.Random(seed), tmp_path / "out", []
    out = folder / "stream.jsonl"
    for _ in range(KILLS):
        with Live(tmp_path, env, talk, *TEXTS, folder) as live:
            until(partial(_has, out, _lines(out) + chance.randrange(4)), every=0.001)
            time.sleep(chance.random() * 0.02)
            live.process.kill()
            codes.append(live.end().code)
    stream(env, talk, *TEXTS, folder)
    assert codes.count(-9) > KILLS // 2, codes
    assert tree(folder) == tree(unbroken)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".jsonl", ".srt", ".txt"}


def test_kills_of_a_pipe_change_nothing(
    env: dict[str, str], pcm: bytes, unbroken: Path, tmp_path: Path, seed: int
) -> None:
    """What it has taken is in its log; the next pipe brings the rest."""
    out, chance, taken = tmp_path / "out.jsonl", random.Random(seed), 0
    for _ in range(KILLS):
        with Live(tmp_path, env, *RAW, "-o", out) as live:
            begun = _lines(out)
            for _ in range(chance.randrange(4, 12)):
                live.stdin.write(pcm[taken : taken + STEP_BYTES])
                taken += STEP_BYTES
            until(partial(_is_at, out, begun + chance.randrange(3), taken - STEP_BYTES))
            time.sleep(chance.random() * 0.05)
            live.process.kill()
            assert live.end().code == -9
        taken = _logged(out)
    assert 0 < taken < len(pcm)
    stream(env, *RAW, "-o", out, stdin=pcm[taken:])
    assert out.read_bytes() == (unbroken / "stream.jsonl").read_bytes()
    assert not (tmp_path / "out.jsonl.audio").exists()


def _is_at(out: Path, lines: int, size: int) -> bool:
    """Whether a pipe's journal has so many lines, or its log so many bytes."""
    return _has(out, lines) or _logged(out) >= size


def _logged(out: Path) -> int:
    """The end of the log, in bytes of the stream."""
    pieces = sorted(out.with_name(f"{out.name}.audio").glob("*.f32"))
    return 4 * int(pieces[-1].stem) + pieces[-1].stat().st_size // 4 * 4 if pieces else 0


def test_a_full_disk_leaves_all_that_was_said(
    env: dict[str, str], talk: Path, pcm: bytes, unbroken: Path, tmp_path: Path
) -> None:
    expected = (unbroken / "stream.jsonl").read_bytes()
    with tmpfs(tmp_path / "small", "size=8k") as disk:
        out = disk / "out.jsonl"
        err = stream(env, talk, "-o", out, code=75).err
        assert "No space left on device; make room, and run the same command again" in err
        assert [path.name for path in disk.iterdir()] == ["out.jsonl.part"]
        assert _lines(out) > 2
        remount(disk, "size=1m")
        assert "heard by an earlier run" in stream(env, talk, "-o", out).err
        assert out.read_bytes() == expected
    with tmpfs(tmp_path / "pipe", "size=512k") as disk:  # the log is full, after 8 s
        out = disk / "out.jsonl"
        assert "No space left" in stream(env, *RAW, "-o", out, stdin=pcm, code=75).err
        taken = _logged(out)
        remount(disk, "size=16m")
        stream(env, *RAW, "-o", out, stdin=pcm[taken:])
        assert out.read_bytes() == expected
