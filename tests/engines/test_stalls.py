"""An engine that may hang: the first stall ends the run, the next one costs an utterance."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import entrypointkit
from audiokit import cut_speech
from runkit import records, write_manifest
from speechkit.engines.protocols import SAMPLE_RATE

CULPRIT = 12432  # samples
ENGINE = ("--engine", "stalling", "--workers", "1", "--time-limit", "1")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Over 40 utterances and, among them, a culprit, on which the engine hangs."""
    speech = cut_speech(tmp_path / "speech", 40, longest=0.7, seed=8)
    sound = 0.01 * np.random.default_rng(1).standard_normal(CULPRIT)
    soundfile.write(tmp_path / "culprit.wav", sound, SAMPLE_RATE)
    files = sorted(speech.glob("*/*.wav"))
    files.insert(20, tmp_path / "culprit.wav")
    lines = [
        {
            "id": path.stem,
            "audio_filepath": str(path),
            "duration": soundfile.info(path).duration,  # or a stall would be waited for longer
        }
        for path in files
    ]
    manifest = write_manifest(tmp_path / "in.jsonl", lines)
    site = entrypointkit.declare(tmp_path / "site", "stalling", {"stalling": "stalling:INFO"})
    path = entrypointkit.path(site, Path(__file__).parent, Path(entrypointkit.__file__).parent)

    def start(samples: int, out: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "speechkit", "asr", manifest, *ENGINE, "-o", out],
            env={**os.environ, **path, "STALLING_SAMPLES": str(samples)},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    return start


def test_a_stall_ends_the_run_with_its_stacks_and_then_costs_one_utterance(
    run: Run, tmp_path: Path
) -> None:
    out, unbroken = tmp_path / "out.jsonl", tmp_path / "unbroken.jsonl"
    first = run(CULPRIT, out)
    assert first.returncode == 75, first.stderr
    assert "in stalling" in first.stderr, "the line where it hangs"
    assert "Thread 0x" in first.stderr
    assert "run the same command again" in first.stderr.splitlines()[-1]
    assert not out.exists()
    second = run(CULPRIT, out)
    assert second.returncode == 3, second.stderr
    assert run(0, unbroken).returncode == 0
    found, expected = records(out), records(unbroken)
    culprit = found.pop(20)
    assert culprit["id"] == "culprit"
    assert culprit["error"]["type"] == "TimeLimit"
    del expected[20]
    assert found == expected
    assert not list(tmp_path.glob("*.part"))
