"""Spoken digits to train on: recordings of DATA/digits, else the project's own synthetic ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 16_000  # Hz
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT_TAKES = range(5)  # takes of every speaker in DATA/digits that no model is trained on
TRAINING_NOISE = ("1-", "2-")  # how the names of the noise clips begin that models may train on
EXAMPLES = Path(__file__).resolve().parents[2] / "examples/digits/digits.jsonl"

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """One spoken digit. `samples` are 16 kHz mono; `offset` and `duration`: seconds in `path`."""

    text: str
    samples: Samples
    path: Path
    offset: float
    duration: float
    held_out: bool


@dataclass(frozen=True)
class Heard:
    """A word in what a model is trained on: its text and its place in seconds."""

    text: str
    start: float
    end: float


def read(path: Path, offset: float = 0.0, duration: float | None = None) -> Samples:
    """Mono samples at 16 kHz of a file, or of `duration` seconds of it from `offset` on."""
    rate = soundfile.info(path).samplerate
    frames = -1 if duration is None else round(duration * rate)
    samples, _ = soundfile.read(path, frames, round(offset * rate), dtype="float32", always_2d=True)
    mono: Samples = soxr.resample(samples.mean(axis=1), rate, RATE).astype(np.float32)
    return mono


def load(data: Path) -> list[Word]:
    """All digits in a fixed order: of DATA/digits, or where that is absent of examples/digits."""
    folder = data / "digits"
    return list(_recordings(folder) if folder.is_dir() else _synthetic(EXAMPLES))


def load_noise(data: Path, *, held_out: bool) -> list[Samples]:
    """The noise clips to train on, or those kept from training; none where DATA has none."""
    paths = sorted((data / "noise").glob("*.wav"))
    return [read(path) for path in paths if path.name.startswith(TRAINING_NOISE) != held_out]


def write_manifest(words: list[Word], path: Path) -> None:
    """The words as a manifest with absolute paths; `offset` where the file holds more words."""
    with path.open("w", encoding="utf-8") as lines:
        for word in words:
            record: dict[str, object] = {"audio_filepath": str(word.path.resolve())}
            if word.path.suffix == ".flac":
                record["offset"] = word.offset
            record |= {"duration": word.duration, "text": word.text}
            lines.write(json.dumps(record) + "\n")


def _recordings(folder: Path) -> Iterator[Word]:
    """DIGIT_SPEAKER_TAKE.wav, each one word from its first to its last sample."""
    for path in sorted(folder.glob("*_*_*.wav")):
        digit, _, take = path.stem.split("_")
        held_out = int(take) in HELD_OUT_TAKES
        duration = soundfile.info(path).duration
        yield Word(NAMES[int(digit)], read(path), path, 0.0, duration, held_out)


def _synthetic(manifest: Path) -> Iterator[Word]:
    for line in manifest.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        path = manifest.parent / record["audio_filepath"]
        place = record["offset"], record["duration"]
        yield Word(record["text"], read(path, *place), path, *place, record.get("held_out", False))
