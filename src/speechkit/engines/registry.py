"""Engine names and where their classes are; an engine is imported when it is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from speechkit.errors import EngineMissing, SpeechkitError, UsageError


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """``target`` is ``module:Class``, ``packages`` are the distributions it needs.

    ``batch_audio``: seconds of audio it is given at once. ``batched``: it computes them together,
    not one after another.
    """

    stage: str
    name: str
    target: str
    packages: tuple[str, ...]
    install: str
    batch_audio: float
    batched: bool = False
    note: str = ""


ENGINES = (
    EngineInfo(
        "vad",
        "ten",
        "speechkit.engines.vad.ten:TenVad",
        ("ten-vad",),
        "pip install ten-vad",
        batch_audio=60.0,
        note="its licence forbids competing with its vendor, Agora",
    ),
    EngineInfo(
        "vad",
        "silero",
        "speechkit.engines.vad.silero:SileroVad",
        ("onnx", "onnxruntime", "faster-whisper"),
        "pip install onnx onnxruntime faster-whisper",
        batch_audio=240.0,
        batched=True,
        note="MIT; faster-whisper carries the weights",
    ),
    EngineInfo(
        "asr",
        "pocketsphinx",
        "speechkit.engines.asr.pocketsphinx:PocketSphinx",
        ("pocketsphinx",),
        "pip install pocketsphinx",
        batch_audio=5.0,
        note="US English, works offline right after install",
    ),
)


def find(stage: str, name: str) -> EngineInfo:
    """Raises `UsageError` naming the engines there are."""
    for info in ENGINES:
        if (info.stage, info.name) == (stage, name):
            return info
    raise UsageError(f"no {stage} engine {name!r}; there are: {', '.join(names(stage))}")


def names(stage: str) -> list[str]:
    return [info.name for info in ENGINES if info.stage == stage]


def create(stage: str, name: str, **options: Any) -> Any:
    """The engine, built. Raises `EngineMissing` with the command that installs what it lacks."""
    info = find(stage, name)
    module, _, attribute = info.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)(**options)
    except ImportError as e:
        raise EngineMissing(f"engine {name}: {e}; install it with: {info.install}") from e


def check(info: EngineInfo) -> str | None:
    """None where the engine can be built, else one sentence on what it lacks."""
    try:
        create(info.stage, info.name)
    except SpeechkitError as e:
        return str(e)
    except Exception as e:  # a broken install can raise anything
        return f"engine {info.name} can't start ({e!r}); reinstall it with: {info.install}"
    return None
