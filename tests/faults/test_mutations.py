"""A folder of spoilt audio: each file comes out once, with a result or with the reason."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from faultkit import one_sentence, run

from audiokit import EXAMPLES, cut_speech, ffmpeg
from runkit import records
from sphinxkit import QUICK

ERRORS = {"AudioNotFound", "AudioUnreadable", "AudioEmpty", "AudioTruncated", "AudioInvalid"}
SUFFIXES = ("wav", "flac", "mp3", "ogg", "m4a", "aiff")


def _sources(folder: Path) -> dict[str, bytes]:
    """The same two seconds of speech in each format."""
    found = {}
    for suffix in SUFFIXES:
        path = folder / f"source.{suffix}"
        original = EXAMPLES / "awb" / "train.flac"
        ffmpeg("-ss", 1, "-t", 2, "-i", original, path)
        found[suffix] = path.read_bytes()
    return found


def _nan_wav(data: bytes) -> bytes:
    samples = struct.pack("<8f", *([0.1, float("nan"), float("inf"), 0.2] * 2)) * 2000
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16,
                         3, 1, 16000, 64000, 4, 32, b"data", len(samples))  # fmt: skip
    return header + samples


def _mutate(kind: str, data: bytes, path: Path, rng: random.Random) -> None:
    spoilt = bytearray(data)
    match kind:
        case "cut":
            del spoilt[rng.randrange(1, len(spoilt)) :]
        case "header":
            for _ in range(rng.randrange(1, 12)):
                spoilt[rng.randrange(64)] = rng.randrange(256)
        case "flips":
            for _ in range(rng.randrange(1, 200)):
                spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        case "hole":
            begin = rng.randrange(len(spoilt))
            spoilt[begin : begin + rng.randrange(1, 4096)] = b""
        case "zeros":
            begin = rng.randrange(len(spoilt))
            spoilt[begin : begin + 2048] = bytes(len(spoilt[begin : begin + 2048]))
        case "head only":
            del spoilt[rng.choice([12, 44]) :]
        case "empty":
            spoilt.clear()
        case "text":
            spoilt[:] = b"The first train to the city leaves at seven in the morning.\n" * 9
        case "noise":
            spoilt[:] = rng.randbytes(len(spoilt))
        case "nan":
            spoilt[:] = _nan_wav(data)
        case "fifo":
            return os.mkfifo(path)
        case "link":
            return path.symlink_to("nowhere.wav")
        case "folder":
            return path.mkdir()
        case "loop":
            return path.symlink_to(path.name)
    path.write_bytes(spoilt)
    if kind == "forbidden":
        path.chmod(0)


OFTEN = ("cut", "header", "flips", "hole", "zeros")
ONCE = ("head only", "empty", "text", "noise", "nan", "fifo", "link", "folder", "loop", "forbidden")


@pytest.fixture(scope="module")
def spoilt(seed: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with 50 good files among 200 mutated ones, and the good ones' paths."""
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("spoilt")
    cut_speech(folder / "good", 44, longest=1.5, seed=5)
    sources = _sources(tmp_path_factory.mktemp("sources"))
    for suffix, data in sources.items():
        (folder / "good" / f"good.{suffix}").write_bytes(data)
    good = sorted(str(path) for path in folder.rglob("*.*") if path.is_file())
    assert len(good) == 50
    kinds = [kind for kind in OFTEN for _ in range(28)] + [kind for kind in ONCE for _ in SUFFIXES]
    (folder / "bad").mkdir()
    for number, kind in enumerate(kinds):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        _mutate(kind, sources[suffix], folder / "bad" / f"{kind} {number:03}.{suffix}", rng)
    assert len(kinds) == 200
    return folder, good


STAGES = {"manifest": ["manifest"], "vad": ["vad"], "silero": ["vad", "--engine", "silero"]}


@pytest.fixture(scope="module")
def output(
    spoilt: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """``output("vad")``: what the stage makes of the folder."""

    @cache
    def make(stage: str) -> Path:
        folder = tmp_path_factory.mktemp(stage)
        out = folder / "out.jsonl"
        result = run(folder, *STAGES[stage], spoilt[0], "-o", out)
        assert result.code == 3, result.err
        return out

    return make


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_every_file_is_accounted_for(
    stage: str, spoilt: tuple[Path, list[str]], output: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, good = spoilt
    command, out, clean = STAGES[stage], output(stage), tmp_path / "clean.jsonl"
    assert run(tmp_path, *command, *good, "-o", clean).code == 0
    found = {record["audio_filepath"]: record for record in records(out)}
    names = [record["audio_filepath"] for record in records(out)]
    there = sorted(str(path) for path in folder.glob("*/*.*"))
    there += sorted(str(path) for path in folder.glob("good/*/*.*"))
    assert names == sorted(there)
    assert len(names) == len(found) == 250
    assert [json.dumps(found[path]) for path in good] == [
        json.dumps(record) for record in records(clean)
    ]
    errors = {path: record["error"] for path, record in found.items() if "error" in record}
    kinds = Counter(error["type"] for error in errors.values())
    print(stage, dict(kinds))
    assert set(kinds) <= ERRORS, [e for e in errors.values() if e["type"] not in ERRORS]
    for path, error in errors.items():
        assert "/bad/" in path
        assert error["message"].startswith(f"{path}: "), error
    expected = {
        "link": {"AudioNotFound"},
        "loop": {"AudioUnreadable", "AudioNotFound"},
        "folder": {"AudioNotFound"},
        "fifo": {"AudioUnreadable"},
        "empty": {"AudioEmpty"},
        "text": {"AudioUnreadable"},
    }
    if stage != "manifest":  # it believes a header
        expected |= {
            "head only": {"AudioEmpty", "AudioUnreadable", "AudioTruncated"},
            "nan": {"AudioInvalid"},
        }
    for path in there:
        kind = Path(path).name.rsplit(" ", 1)[0]
        if "/bad/" in path and (types := expected.get(kind)):
            assert errors.get(path, {}).get("type") in types, (path, errors.get(path))


@pytest.mark.slow
def test_through_vad_and_asr(output: Callable[[str], Path], tmp_path: Path) -> None:
    """A dozen survivors, a dozen that fail, the errors carried along, and the score counts them."""
    some, out = tmp_path / "some.jsonl", tmp_path / "asr.jsonl"
    lines = output("vad").read_bytes().splitlines(keepends=True)
    failed = [line for line in lines if b'"error": {' in line][::12]
    decoded = [line for line in lines if b'"error": {' not in line and b"/bad/" in line][::12]
    some.write_bytes(b"".join(failed + decoded))
    result = run(tmp_path, "asr", some, *QUICK, "-o", out)
    assert result.code == 3, result.err
    answers = records(out)
    assert [a["audio_filepath"] for a in answers] == [r["audio_filepath"] for r in records(some)]
    assert all("pred_text" in answer for answer in answers)
    errors = [answer["error"] for answer in answers if "error" in answer]
    assert errors == [record["error"] for record in records(b"".join(failed))]


def test_only_failures(tmp_path: Path) -> None:
    """Nothing that can be read is a result too; a folder without audio is a mistake."""
    folder = tmp_path / "bad"
    folder.mkdir()
    assert run(tmp_path, "vad", folder).code == 2
    for number in range(3):
        (folder / f"{number}.wav").touch()
    out = tmp_path / "out.jsonl"
    assert run(tmp_path, "vad", folder, "-o", out).code == 3
    assert {record["error"]["type"] for record in records(out)} == {"AudioEmpty"}
    shutil.rmtree(folder)
    assert "no such file" in one_sentence(run(tmp_path, "vad", folder))
