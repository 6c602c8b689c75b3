"""Where a step runs, what it reports, and the speech it takes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile

from gpu_steps.rows import line

RATE = 16_000  # Hz
WINDOW = 30  # seconds


@dataclass(frozen=True)
class Setting:
    """``work``: a folder for models and audio, kept from step to step. ``tiny``: everything so
    small that a CPU tries it out in seconds; its figures mean nothing."""

    device: str
    tiny: bool
    work: Path
    models: Path
    data: Path
    rows: Path
    repeats: int

    @property
    def precision(self) -> str:
        return "float32" if self.device == "cpu" else "bfloat16"

    def row(self, step: str, what: str, value: float, unit: str, note: str = "") -> None:
        """Printed and kept at once, so that a step cut short has said what it knows."""
        row = {"step": step, "what": what, "value": round(value, 3), "unit": unit, "note": note}
        with self.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(line(row), flush=True)

    @contextmanager
    def trying(self, step: str, what: str) -> Iterator[None]:
        """One measurement, whose failure leaves the others alone."""
        try:
            yield
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            self.row(step, what, float("nan"), "failed", said)


def synchronise(device: str) -> None:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def seconds_of(setting: Setting, work: Callable[[], Any]) -> float:
    """The median of `Setting.repeats`, after one more to warm up."""
    work()
    times = []
    for _ in range(setting.repeats):
        synchronise(setting.device)
        began = time.perf_counter()
        work()
        synchronise(setting.device)
        times.append(time.perf_counter() - began)
    return median(times)


@dataclass(frozen=True)
class Utterance:
    audio_filepath: str
    duration: float
    text: str


def sentences(setting: Setting) -> list[Utterance]:
    """Real ones with references."""
    folder = setting.data / "librispeech"
    found = []
    for record in map(json.loads, (folder / "manifest.jsonl").open()):
        path = str((folder / record["audio_filepath"]).resolve())
        found.append(Utterance(path, record["duration"], record["text"]))
    return found[:4] if setting.tiny else found


def full_windows(setting: Setting) -> list[Utterance]:
    """Files of speech without a pause, each as long as a window of Whisper's."""
    folder = setting.work / "windows"
    folder.mkdir(parents=True, exist_ok=True)
    whole = np.concatenate(list(map(samples_of, sentences(setting))))
    size = WINDOW * RATE
    whole = np.tile(whole, -(-size // len(whole)))
    found = []
    for at in range(len(whole) // size):
        path = folder / f"{at:03}.wav"
        soundfile.write(path, whole[at * size : (at + 1) * size], RATE, subtype="PCM_16")
        found.append(Utterance(str(path), float(WINDOW), ""))
    return found


@cache
def samples_of(utterance: Utterance) -> np.ndarray:
    """In memory once it is read, so that no measurement reads files but those of `speechkit`."""
    samples, rate = soundfile.read(utterance.audio_filepath, dtype="float32")
    if rate != RATE:
        sys.exit(f"{utterance.audio_filepath}: {rate} Hz")
    return samples


def cycled(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    return [utterances[at % len(utterances)] for at in range(count)]


def write_manifest(path: Path, utterances: Sequence[Utterance]) -> Path:
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in utterances))
    return path
