"""Workers that die, hang or can't start cost what they were at work on, and nothing else."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from faultkit import Run, Unbroken, errors, run

from runkit import entries, part_of, records, until, write_manifest

HAZARD = (sys.executable, "-m", "hazard")


def _utterances(folder: Path, deeds: dict[int, str], count: int, **more: Any) -> Path:
    lines = [
        {"audio_filepath": f"/none/{number}.wav", "duration": 0.5, **more}
        | ({"do": deeds[number]} if number in deeds else {})
        for number in range(count)
    ]
    return write_manifest(folder / "in.jsonl", lines)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ten", "silero"])
def test_workers_killed_in_mid_run(
    engine: str, seed: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    unbroken: Unbroken = request.getfixturevalue(engine)
    rng = random.Random(seed)
    out = tmp_path / "out.jsonl"
    going = Run(tmp_path, *unbroken.args, "-o", out)
    until(lambda: entries(out) > 0)
    kills = 0
    while kills < 4 and going.process.poll() is None:
        if workers := going.workers():
            victim = rng.choice(workers)
            try:
                victim.send_signal(rng.choice([signal.SIGKILL, signal.SIGSEGV]))
            except psutil.NoSuchProcess:
                continue
            kills += 1
        time.sleep(rng.uniform(0.05, 0.4))
    result = going.wait()
    going.assert_no_survivors()
    assert kills
    failed = [kind for kind in errors(out) if kind]
    assert result.code == (3 if failed else 0), result.err
    assert set(failed) <= {"WorkerDied"}
    assert len(failed) <= kills
    for line, expected in zip(
        out.read_bytes().splitlines(), unbroken.output.splitlines(), strict=True
    ):
        assert line == expected or b'"WorkerDied"' in line
    if failed:
        retried = run(tmp_path, *unbroken.args, "-o", out, "--retry-failed")
        assert retried.code == 0, retried.err
    assert out.read_bytes() == unbroken.output


@pytest.mark.parametrize("batched", [False, True])
def test_exactly_the_guilty_fail(batched: bool, tmp_path: Path) -> None:
    deeds = {3: "abort", 4: "kill", 11: "hang", 17: "raise", 23: "exit", 29: "hang"}
    source, out = _utterances(tmp_path, deeds, 40), tmp_path / "out.jsonl"
    options = ["--time-limit", 0.5, *(["--batched"] if batched else [])]
    result = run(tmp_path, source, out, *options, command=HAZARD)
    assert result.code == 3, result.err
    died = {3: "WorkerDied", 4: "WorkerDied", 23: "WorkerDied"}
    expected = died | {11: "TimeLimit", 29: "TimeLimit", 17: "ArithmeticError"}
    found = {number: kind for number, kind in enumerate(errors(out)) if kind}
    assert found == expected
    assert [r["audio_filepath"] for r in records(out)] == [
        r["audio_filepath"] for r in records(source)
    ]


def test_a_hang_that_holds_the_interpreter_stops_nobody(tmp_path: Path) -> None:
    """Lines bigger than a pipe's buffer wait for a worker that doesn't read them."""
    source = _utterances(tmp_path, {1: "hang-gil"}, 6, note="n" * 300_000)
    out = tmp_path / "out.jsonl"
    options = ["--time-limit", 0.5, "--workers", 1, "--batch-audio", 0.5]
    result = run(tmp_path, source, out, *options, command=HAZARD)
    assert result.code == 3, result.err
    assert errors(out) == [None, "TimeLimit", None, None, None, None]


def test_a_suspended_run_is_not_late(tmp_path: Path) -> None:
    """Ctrl-Z, or a job that SLURM suspends."""
    source, out = _utterances(tmp_path, {0: "slow", 1: "slow"}, 2), tmp_path / "out.jsonl"
    options = ["--time-limit", 1, "--batch-audio", 0.5]
    going = Run(tmp_path, source, out, *options, command=HAZARD)
    until(lambda: len(going.workers()) == 2)
    time.sleep(0.8)
    processes = [*going.workers(), psutil.Process(going.process.pid)]
    for process in processes:
        process.suspend()
    time.sleep(3.5)
    for process in reversed(processes):
        process.resume()
    assert going.wait().code == 0
    assert errors(out) == [None, None]


def test_ten_deaths_in_a_row_end_the_run(tmp_path: Path) -> None:
    deeds = dict.fromkeys(range(2, 14), "abort")
    source, out = _utterances(tmp_path, deeds, 16), tmp_path / "out.jsonl"
    command = [source, out, "--workers", 1, "--batch-audio", 0.5]
    result = run(tmp_path, *command, command=HAZARD)
    assert result.code == 1
    assert "10 worker processes ended one after another" in result.err
    assert not out.exists()
    again = run(tmp_path, *command, command=HAZARD)
    assert again.code == 3, again.err
    assert {number for number, kind in enumerate(errors(out)) if kind} == set(deeds)


@pytest.mark.parametrize("how", ["abort", "raise", "exit"])
def test_an_engine_that_cannot_start(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAZARD_OPEN", how)
    source, out = _utterances(tmp_path, {}, 5), tmp_path / "out.jsonl"
    result = run(tmp_path, source, out, command=HAZARD)
    assert result.code == 1
    sentences = [line for line in result.err.splitlines() if line.startswith("speechkit: ")]
    assert len(sentences) == 1, result.err
    assert "start" in sentences[0]
    monkeypatch.delenv("HAZARD_OPEN")
    assert run(tmp_path, source, out, command=HAZARD).code == 0
    assert not part_of(out).exists()


def test_a_worker_a_gpu(tmp_path: Path) -> None:
    """One that dies leaves its GPU to the next."""
    deeds = dict.fromkeys(range(12), "slow") | {1: "kill"}
    source = _utterances(tmp_path, deeds, 12)
    out = tmp_path / "out.jsonl"
    gpus = ("--workers", 2, "--gpus", "3", "GPU-5f", "--batch-audio", 0.5)
    result = run(tmp_path, source, out, *gpus, command=HAZARD)
    assert result.code == 3, result.err
    assert errors(out) == [None, "WorkerDied", *[None] * 10]
    seen = [record.get("gpu") for record in records(out)]
    del seen[1]
    assert set(seen) == {"3", "GPU-5f"}
    assert min(seen.count(gpu) for gpu in set(seen)) >= 3
