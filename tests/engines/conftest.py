"""The tiny models that ``make test`` has trained before, and speech for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import audio

MODELS = Path(__file__).resolve().parents[2] / ".cache" / "tiny-models"


@dataclass(frozen=True)
class Digit:
    """A spoken digit that no tiny model has heard in training; ``line`` is its manifest's."""

    line: str
    text: str
    waveform: NDArray[np.float32]


@pytest.fixture(scope="session")
def whispers() -> dict[str, Path]:
    """The same tiny Whisper for each engine, by the engine's name."""
    found = {"whisper": MODELS / "whisper", "faster-whisper": MODELS / "whisper-ct2"}
    for folder in found.values():
        if not folder.is_dir():
            pytest.skip(f"no {folder}: make models")
    return found


@pytest.fixture(scope="session")
def held_out(whispers: dict[str, Path]) -> Path:
    """A manifest of the digits that were kept out of training."""
    return MODELS / "whisper-held-out.jsonl"


@pytest.fixture(scope="session")
def digits(held_out: Path) -> list[Digit]:
    found = []
    for line in held_out.read_text().splitlines():
        record = json.loads(line)
        waveform = audio.load(
            record["audio_filepath"],
            offset=record.get("offset", 0.0),
            duration=record["duration"],
            sample_rate=SAMPLE_RATE,
        )
        found.append(Digit(line, record["text"], waveform))
    return found
