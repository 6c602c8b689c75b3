"""``kill -9`` of a run at any moment: the same command goes on, and nobody can tell."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from faultkit import Run, Unbroken, kill_in_mid_run, run

from audiokit import cut_speech
from runkit import entries, records, tree, write_manifest

DYING = (sys.executable, "-m", "dying")


def _kill_often(unbroken: Unbroken, folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kills runs at random moments, resuming each; what each kill hit.

    "working": a worker process was there; "some done", "all done": so was a part with that in it.
    """
    rng = random.Random(seed)
    out = folder / "out.jsonl"
    command = (*unbroken.args, "-o", out)
    start_up = Run(folder, "--version").wait().seconds + 0.3
    moments: Counter[str] = Counter()
    for _ in range(4 * kills):
        if moments["kills"] == kills:
            break
        before = entries(out)
        if before == unbroken.utterances:  # it only has to publish: from here on a new run
            assert run(folder, *command).code == 0
            assert out.read_bytes() == unbroken.output
            out.unlink()
            before = 0
        left = 1 - before / unbroken.utterances
        going = Run(folder, *command)
        work = max(0.2, unbroken.result.seconds - start_up)
        working = False
        earliest = rng.choice([0.1, start_up])
        if not going.finishes_within(rng.uniform(earliest, start_up + left * work)):
            working = bool(going.workers())
            going.process.kill()
        code = going.wait().code
        if code == 0:  # it was faster than the kill
            assert out.read_bytes() == unbroken.output
            out.unlink()
            continue
        assert code == -9
        moments["working"] += working
        going.assert_no_survivors()
        moments["kills"] += 1
        if not out.exists():
            after = entries(out)
            assert after >= before, "a kill has cost results"
            moments["some done"] += 0 < after < unbroken.utterances
            moments["all done"] += after == unbroken.utterances
    assert moments["kills"] == kills
    last = run(folder, *command)
    assert last.code == 0, last.err
    assert out.read_bytes() == unbroken.output
    assert sorted(p.name for p in folder.iterdir() if p.is_file()) == [
        ".out.jsonl.run.json",
        "out.jsonl",
    ]
    print(dict(moments))
    return moments


@pytest.mark.slow
def test_20_kills_of_a_vad_run(ten: Unbroken, seed: int, tmp_path: Path) -> None:
    assert ten.utterances >= 300
    moments = _kill_often(ten, tmp_path, kills=20, seed=seed)
    assert moments["working"] >= 4, moments
    assert moments["some done"] >= 2, moments


@pytest.mark.slow
def test_kills_of_silero(silero: Unbroken, seed: int, tmp_path: Path) -> None:
    moments = _kill_often(silero, tmp_path, kills=6, seed=seed)
    assert moments["working"] >= 1, moments


@pytest.mark.slow
def test_kills_of_a_validate_run(validate: Unbroken, seed: int, tmp_path: Path) -> None:
    moments = _kill_often(validate, tmp_path, kills=3, seed=seed)
    assert moments["working"] >= 1, moments


@pytest.mark.slow
def test_kills_of_an_asr_run(asr: Unbroken, seed: int, tmp_path: Path) -> None:
    moments = _kill_often(asr, tmp_path, kills=3, seed=seed)
    assert moments["working"] >= 1, moments


@pytest.mark.slow
def test_kills_of_a_whisper_run(whisper: Unbroken, seed: int, tmp_path: Path) -> None:
    """What ran in batches is formed of the same batches again, so that not even a float differs."""
    moments = _kill_often(whisper, tmp_path, kills=4, seed=seed)
    assert moments["working"] >= 1, moments


@pytest.mark.slow
def test_a_kill_of_a_nemo_run(nemos: dict[str, Path], held_out: Path, tmp_path: Path) -> None:
    lines = records(held_out)
    many = write_manifest(tmp_path / "many.jsonl", [lines[i % len(lines)] for i in range(100)])
    command = ["asr", many, "--engine", "nemo", "--model", nemos["ctc"], "--words", "--workers", 1]
    unbroken, out = tmp_path / "unbroken.jsonl", tmp_path / "out.jsonl"
    assert run(tmp_path, *command, "-o", unbroken).code == 0
    kill_in_mid_run(tmp_path, *command, out=out)
    assert run(tmp_path, *command, "-o", out).code == 0
    assert out.read_bytes() == unbroken.read_bytes()


def _prepare(folder: Path, flow: str) -> tuple[list[object], bytes]:
    """A command without its output, what is in its folder, and what the output must come to."""
    sound = cut_speech(folder / "speech", 4, longest=0.5, seed=4)
    paths = sorted(sound.glob("*/*.wav"))
    lines = [{"audio_filepath": str(path), "id": path.stem} for path in paths]
    manifest = write_manifest(folder / "in.jsonl", lines)
    command: list[object] = ["manifest", manifest, "--workers", 1]
    clean, out = folder / "clean.jsonl", folder / "before" / "out.jsonl"
    assert run(folder, *command, "-o", clean).code == 0
    out.parent.mkdir()
    if flow == "retry":
        aside = paths[1].rename(folder / "aside.wav")
        assert run(folder, *command, "-o", out).code == 3
        aside.rename(paths[1])
        command.append("--retry-failed")
    elif flow == "restart":
        assert run(folder, *command, "--limit", 2, "-o", out).code == 0
        command.append("--restart")
    return command, clean.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["first", "retry", "restart"])
def test_a_kill_at_each_step_of_the_files(flow: str, seed: int, tmp_path: Path) -> None:
    """Steps are lines of code: finer than system calls. Some of them, and others each time."""
    command, expected = _prepare(tmp_path, flow)
    shutil.copytree(tmp_path / "before", tmp_path / "0")
    out = tmp_path / "0" / "out.jsonl"
    alive = run(tmp_path, 0, *command, "-o", out, command=DYING)
    assert alive.code == 0, alive.err
    assert out.read_bytes() == expected
    steps, publishing = map(int, alive.err.splitlines()[-1].split())
    rng = random.Random(seed)
    late = [f"p{number}" for number in _some(publishing, 4, rng)]
    some = [*_some(steps, 2, rng), *late]
    print(f"{steps} steps, {publishing} of them when it publishes: {some}")
    killed = 0
    for step in some:
        out = tmp_path / str(step) / "out.jsonl"
        shutil.copytree(tmp_path / "before", out.parent)
        before = out.read_bytes() if out.exists() else None
        killed += run(tmp_path, step, *command, "-o", out, command=DYING).code == -9
        assert (out.read_bytes() if out.exists() else None) in (before, expected)
        again = run(tmp_path, *command, "-o", out)
        assert again.code == 0, again.err
        assert out.read_bytes() == expected, f"step {step}"
        names = sorted(path.name for path in out.parent.iterdir())
        assert names == [".out.jsonl.run.json", "out.jsonl"], f"step {step}"
    assert killed >= len(late)  # of the first ones some may not come: how often it flushes varies


def _some(steps: int, count: int, rng: random.Random) -> range:
    """As many of them at least, evenly apart."""
    return range(rng.randrange(1, steps // count), steps + 1, steps // count)


@pytest.mark.slow
def test_a_kill_of_an_s2s_run(s2s_models: Path, tmp_path: Path) -> None:
    """The audio is that of a run that was never killed, and nothing else lies beside it."""
    lines = [{"id": f"{n % 7}/{n}", "units": [n % 50, (n + 7) % 50] * 10} for n in range(160)]
    units = write_manifest(tmp_path / "units.jsonl", lines)
    folder = tmp_path / "speech"
    vocoder = ["--vocoder", s2s_models / "vocoder" / "g.pt", "--output-dir", folder]
    command = ["s2s", units, "--from-units", *vocoder]
    assert run(tmp_path, *command).code == 0
    unbroken = folder.rename(tmp_path / "unbroken")
    kill_in_mid_run(tmp_path, *command, out=folder / "s2s.jsonl")
    assert run(tmp_path, *command).code == 0
    assert tree(folder) == tree(unbroken)
    assert len(tree(folder)) == 163
