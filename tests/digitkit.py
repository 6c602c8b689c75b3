"""Spoken digits, which NeMo's tiny models know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import audio


@dataclass(frozen=True)
class Digit:
    """A spoken digit that no tiny model has heard in training; ``line`` is its manifest's."""

    line: str
    text: str
    waveform: NDArray[np.float32]


def read(manifest: Path) -> list[Digit]:
    found = []
    for line in manifest.read_text().splitlines():
        record = json.loads(line)
        waveform = audio.load(
            record["audio_filepath"],
            offset=record.get("offset", 0.0),
            duration=record["duration"],
            sample_rate=SAMPLE_RATE,
        ).waveform
        found.append(Digit(line, record["text"], waveform))
    return found
