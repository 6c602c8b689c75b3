"""A card whose memory another process holds: batches are halved, and every utterance is done."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpukit import DEVICE, Run, assert_complete

pytestmark = pytest.mark.gpu

ALONE = True
LEFT = 4_000_000_000  # bytes; 64 windows in float32 take more, 8 and a process's libraries less
FILL = f"""
import sys, torch
held = torch.empty(torch.cuda.mem_get_info()[0] - {LEFT}, dtype=torch.uint8, device="cuda")
held.fill_(1)
torch.cuda.synchronize()
print("full", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def crowded() -> Iterator[None]:
    """As long as its stdin is open."""
    command = [sys.executable, "-c", FILL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"full\n"
        yield
        assert other.stdin
        other.stdin.close()


def test_lack_of_memory_halves_batches(base: Path, many: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    command = ["asr", many, "--engine", "whisper", "--model", base, "--language", "en"]
    command += ["--compute-type", "float32", "--batch-size", 64, "--device", DEVICE]
    with crowded():
        code, said = (run := Run(tmp_path, *command, "--summary", summary)).ends()
    assert code == 0, said
    assert_complete(run.out, many)
    assert "out of memory with 64 windows at once; 32 from now on" in said
    assert json.loads(summary.read_text())["device"]["batch_size"] < 64
