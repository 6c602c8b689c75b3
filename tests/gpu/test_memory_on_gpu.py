"""A card whose memory another process holds: batches are halved, and every utterance is done."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gpukit import DEVICE, Run, assert_complete

from audiokit import whole
from speechkit.engines import registry
from speechkit.engines.asr.whisper import memory

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


def transcribed(base: Path, many: Path, folder: Path, size: int | str) -> tuple[str, int]:
    """What was said in float32 beside that process, and the last batch size."""
    summary = folder / "summary.json"
    command = ["asr", many, "--engine", "whisper", "--model", base, "--language", "en"]
    command += ["--compute-type", "float32", "--batch-size", size, "--device", DEVICE]
    with crowded():
        code, said = (run := Run(folder, *command, "--summary", summary)).ends()
    assert code == 0, said
    assert_complete(run.out, many)
    return said, json.loads(summary.read_text())["device"]["batch_size"]


def test_lack_of_memory_halves_batches(base: Path, many: Path, tmp_path: Path) -> None:
    said, size = transcribed(base, many, tmp_path, 64)
    assert "out of memory with 64 windows at once; 32 from now on" in said
    assert size < 64


def test_a_batch_by_memory_fits_beside_another_process(
    base: Path, many: Path, tmp_path: Path
) -> None:
    said, size = transcribed(base, many, tmp_path, "auto")
    assert "out of memory" not in said
    assert 8 <= size < 64


def test_the_memory_that_is_taken(base: Path, waveforms: list[Any]) -> None:
    """No more than was estimated, nor far less; where there is more, the batch grows."""
    whisper: Any = registry.create(
        "asr", "whisper", model=str(base), language="en", device=DEVICE, compute_type="float32"
    )
    backend = whisper._backend
    list(whisper.transcribe([whole(one)] for one in waveforms[:32]))
    config, itemsize = backend._checkpoint.config, 4
    row = memory.of_row(config, itemsize, 1)
    estimate = memory.of_encoder(config, itemsize) + 32 * (row + memory.of_window(config, itemsize))
    assert 0.4 * estimate < backend._memory.taken() < 1.2 * estimate
    assert backend.batch_size(1, tried=32) > 32
