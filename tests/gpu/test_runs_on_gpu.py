"""Whole runs on a card: stopped, killed and resumed; what doctor sees."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import gpukit
import pytest
from gpukit import Run, assert_complete

from runkit import until

pytestmark = pytest.mark.gpu


def asr(base: Path, manifest: Path) -> list[object]:
    command = ["asr", manifest, "--engine", "whisper", "--model", base, "--language", "en"]
    return [*command, "--batch-size", 8]


def test_stopped_killed_and_resumed(base: Path, many: Path, tmp_path: Path) -> None:
    """SIGTERM drains, a kill loses nothing that was written, and the third run completes it."""
    command = [*asr(base, many), "--device", gpukit.DEVICE]
    first = Run(tmp_path, *command)
    until(lambda: first.done() >= 16)
    first.process.send_signal(signal.SIGTERM)
    code, said = first.ends(20)
    drained = first.done()
    assert code == 75, said
    assert 16 <= drained < gpukit.MANY
    second = Run(tmp_path, *command)
    until(lambda: second.done() >= drained + 16)
    second.process.kill()
    second.process.wait()
    assert not second.out.exists()
    kept = second.done()
    third = Run(tmp_path, *command)
    code, said = third.ends()
    assert code == 0, said
    found = assert_complete(third.out, many)
    assert kept < len(found) == gpukit.MANY
    texts: dict[str, set[str]] = {}
    for one in found:
        texts.setdefault(one["audio_filepath"], set()).add(one["pred_text"])
    assert all(text for heard in texts.values() for text in heard)


def test_two_processes_share_the_work(base: Path, many: Path, tmp_path: Path) -> None:
    """On one card, as --devices has them on two."""
    summary = tmp_path / "summary.json"
    command = asr(base, many)[:-2]  # the batch size is for each process to find
    run = Run(tmp_path, *command, "--device", gpukit.DEVICE, "--workers", 2, "--summary", summary)
    code, said = run.ends()
    assert code == 0, said
    assert_complete(run.out, many)
    found = json.loads(summary.read_text())
    assert found["workers"] == 2
    assert 0 < found["first_result_seconds"] < found["wall_seconds"]
    assert sum(found["device"]["waited_for"].values()) == pytest.approx(1.0, abs=0.001)


def test_doctor_names_the_card() -> None:
    """Whatever else it misses."""
    import torch

    command = [sys.executable, "-m", "speechkit", "doctor"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert torch.cuda.get_device_name(0) in " ".join(said.split())
