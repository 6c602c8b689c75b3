"""The engine `whisper` by itself: without the command line, which would decode again what has no
words; where they lie is left to chance in a model of random weights."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_steps import watch
from gpu_steps.common import RATE, Setting, Utterance, samples_of
from speechkit.engines import registry
from speechkit.engines.protocols import Clip, DeviceUse

WARM_UP = 300  # windows of the first pass, which isn't measured


@dataclass(frozen=True)
class Pass:
    """``pace``: ms a window; ``parts``: the engine's seconds by part; ``begin``, ``end``: moments
    of time.time()."""

    pace: float
    parts: Mapping[str, float]
    note: str
    texts: Sequence[str]
    begin: float
    end: float


def engine(setting: Setting, folder: Path, batch_size: int = 0) -> Any:
    return registry.create(
        "asr",
        "whisper",
        model=str(folder),
        device=setting.device,
        language="en",
        batch_size=batch_size,
    )


def passes(engine: Any, windows: Sequence[Utterance], repeats: int) -> list[Pass]:
    _heard(engine, windows[:WARM_UP])
    return [_pass(engine, windows) for _ in range(repeats)]


def median_pass(passes: Sequence[Pass]) -> Pass:
    return sorted(passes, key=lambda one: one.pace)[len(passes) // 2]


def busy(busy: watch.Busy, passes: Sequence[Pass]) -> float:
    """The GPU's utilisation in percent, from the first of the passes to the last."""
    return busy.mean(passes[0].begin, passes[-1].end)


def _pass(engine: Any, windows: Sequence[Utterance]) -> Pass:
    before: DeviceUse = engine.device_use()
    begin = time.time()
    texts = _heard(engine, windows)
    end = time.time()
    use: DeviceUse = engine.device_use()
    parts = {name: taken - before.parts.get(name, 0.0) for name, taken in use.parts.items()}
    note = f"batch {use.batch_size}, {use.compute_type}, {len(windows)} windows"
    return Pass(1000 * (end - begin) / len(windows), parts, note, texts, begin, end)


def _heard(engine: Any, windows: Sequence[Utterance]) -> list[str]:
    clips = ([_clip(one)] for one in windows)
    return [
        " ".join(part.text for hypothesis in heard for part in hypothesis.segments)
        for heard in engine.transcribe(clips)
    ]


def _clip(one: Utterance) -> Clip:
    samples = samples_of(one)
    return Clip(samples, len(samples) / RATE)
