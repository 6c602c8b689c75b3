"""What the tests on a card share: they run where PyTorch sees one, and skip elsewhere."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gpukit
import pytest
from gpukit import Spoken

from speechkit.io import audio

LOCK = Path(tempfile.gettempdir()) / "speechkit-tests-gpu"


@pytest.fixture(scope="module", autouse=True)
def card(request: pytest.FixtureRequest) -> Iterator[str]:
    """The device. A module that fills its memory (``ALONE = True``) has it to itself."""
    if not gpukit.has_device():
        pytest.skip("no GPU that PyTorch sees")
    alone = getattr(request.module, "ALONE", False)
    with open(LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield gpukit.DEVICE


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What computes on the CPU beside the card takes a few of its threads."""
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.setenv(name, str(max(1, min(4, (os.cpu_count() or 1) // 4))))


@pytest.fixture(scope="session")
def base() -> Path:
    """Whisper base of transformers."""
    folder = gpukit.ROOT / ".cache" / "models" / "base-hf"
    return gpukit.made(folder / "model.safetensors").parent


@pytest.fixture(scope="session")
def tiny_s2s() -> Path:
    return gpukit.made(gpukit.ROOT / ".cache" / "tiny-models" / "s2s")


@pytest.fixture(scope="session")
def spoken(data: Path) -> list[Spoken]:
    """Fifty real utterances."""
    folder = data / "librispeech"
    found = []
    for record in map(json.loads, (folder / "manifest.jsonl").open()):
        path = str(folder / record["audio_filepath"])
        found.append(Spoken(path, record["duration"], record["text"]))
    return found


@pytest.fixture(scope="session")
def waveforms(spoken: list[Spoken]) -> list[Any]:
    return [audio.load(one.audio_filepath, sample_rate=16_000).waveform for one in spoken]


@pytest.fixture
def many(spoken: list[Spoken], tmp_path: Path) -> Path:
    """A manifest of 600 utterances."""
    path = tmp_path / "many.jsonl"
    lines = (json.dumps(asdict(spoken[at % len(spoken)])) + "\n" for at in range(gpukit.MANY))
    path.write_text("".join(lines))
    return path
