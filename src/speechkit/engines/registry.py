"""Engine names and where their classes are; an engine is imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any

from speechkit.compat import INSTALL_FAIRSEQ, INSTALL_TEXTLESS
from speechkit.errors import EngineMissing, SpeechkitError, UsageError


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """``target`` is ``module:Class``, ``packages`` are the distributions it needs.

    ``batch_audio``: seconds of audio it is given at once, 0 where the device decides. ``batched``:
    it computes them together, not one after another. ``cpu_windows``: how many of its windows a
    batch of utterances comes to on a CPU.
    ``options``: what it can be told beside its model. ``hub``: where on the Hugging Face hub a
    model's short name is, as ``owner/prefix-{}``; "" where models are folders alone. ``model``: the
    short name of its default. ``weights``: the files of a model, as patterns; a single pattern
    where it is a single file. ``stalls``: it is known to hang, whatever it is given. ``temporary``:
    it puts files aside in TMPDIR.
    """

    stage: str
    name: str
    target: str
    packages: tuple[str, ...]
    install: str
    batch_audio: float = 0.0
    batched: bool = False
    cpu_windows: int = 16
    note: str = ""
    options: tuple[str, ...] = ()
    hub: str = ""
    model: str = ""
    weights: tuple[str, ...] = ()
    stalls: bool = False
    temporary: bool = False


WHISPER_OPTIONS = (
    "device",
    "batch_size",
    "compute_type",
    "language",
    "task",
    "beam_size",
    "temperature",
    "initial_prompt",
    "hotwords",
    "timestamps",
)

ENGINES = (
    EngineInfo(
        "vad",
        "ten",
        "speechkit.engines.vad.ten.engine:TenVad",
        ("ten-vad",),
        "pip install ten-vad",
        batch_audio=60.0,
        note="its licence forbids competing with its vendor, Agora",
    ),
    EngineInfo(
        "vad",
        "silero",
        "speechkit.engines.vad.silero.engine:SileroVad",
        ("onnx", "onnxruntime", "faster-whisper"),
        "pip install onnx onnxruntime faster-whisper",
        batch_audio=240.0,
        batched=True,
        note="MIT; faster-whisper carries the weights",
    ),
    EngineInfo(
        "asr",
        "pocketsphinx",
        "speechkit.engines.asr.pocketsphinx.engine:PocketSphinx",
        ("pocketsphinx",),
        "pip install pocketsphinx",
        batch_audio=5.0,
        note="US English, its model built in",
    ),
    EngineInfo(
        "asr",
        "whisper",
        "speechkit.engines.asr.whisper.engine:whisper",
        ("torch", "transformers"),
        "pip install torch 'speechkit[whisper]'",
        batched=True,
        cpu_windows=8,
        note="any Whisper checkpoint of transformers; CUDA, MPS or CPU",
        options=WHISPER_OPTIONS,
        hub="openai/whisper-{}",
        model="base",
        weights=("*.json", "*.txt", "model.safetensors", "model-*.safetensors"),
    ),
    EngineInfo(
        "asr",
        "faster-whisper",
        "speechkit.engines.asr.faster_whisper.engine:faster_whisper",
        ("faster-whisper", "ctranslate2"),
        "pip install faster-whisper",
        batched=True,
        cpu_windows=4,
        note="Whisper on CTranslate2, the fast one on CPU; CUDA or CPU",
        options=WHISPER_OPTIONS,
        hub="Systran/faster-whisper-{}",
        model="base",
        weights=("*.json", "*.txt", "model.bin"),
    ),
    EngineInfo(
        "asr",
        "nemo",
        "speechkit.engines.asr.nemo.engine:Nemo",
        ("torch", "nemo-toolkit"),
        "pip install torch 'speechkit[nemo]'",
        batched=True,
        note="any ASR model of NVIDIA NeMo: CTC, RNN-T, TDT, hybrid, Canary; CUDA or CPU",
        options=(
            "device",
            "batch_size",
            "compute_type",
            "language",
            "timestamps",
            "words",
            "chars",
            "max_window",
            "dataloader",
            "cuda_graphs",
        ),
        hub="nvidia/{}",
        model="parakeet-tdt-0.6b-v3",
        weights=("*.nemo",),
        stalls=True,
        temporary=True,
    ),
    EngineInfo(
        "s2s",
        "transformers",
        "speechkit.engines.s2s.transformers.engine:transformers",
        ("torch", "transformers"),
        "pip install torch 'speechkit[s2s]'",
        batched=True,
        cpu_windows=4,
        note="HuBERT of fairseq's or transformers' files, WavLM; CUDA, MPS or CPU",
        options=("device", "allow_reinit"),
        hub="facebook/{}",
        weights=("*.json", "*.safetensors", "pytorch_model.bin"),
    ),
    EngineInfo(
        "s2s",
        "fairseq",
        "speechkit.engines.s2s.fairseq.engine:fairseq",
        ("torch", "fairseq"),
        f"{INSTALL_FAIRSEQ}, after everything else",
        cpu_windows=4,
        note="fairseq's own HuBERT and unit HiFi-GAN",
        options=("device",),
        hub="{}",
    ),
    EngineInfo(
        "s2s",
        "textless",
        "speechkit.engines.s2s.textless.engine:textless",
        ("torch", "fairseq", "textless"),
        f"{INSTALL_TEXTLESS}, after fairseq",
        cpu_windows=4,
        note="textlesslib's HuBERT reader and vocoder",
        options=("device",),
        hub="{}",
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
    try:
        return _target(info)(**options)
    except ImportError as e:
        raise EngineMissing(f"engine {name}: {e}; install it with: {info.install}") from e


def _target(info: EngineInfo) -> Any:
    module, _, attribute = info.target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def require_installed(info: EngineInfo) -> None:
    """Raises `EngineMissing` where a package is not there, without importing any."""
    for package in info.packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise EngineMissing(
                f"engine {info.name}: {package} is not installed; install it with: {info.install}"
            ) from None


def check(info: EngineInfo) -> str | None:
    """None where the engine can be built (given a model, if it needs one), else one sentence on
    what it lacks."""
    try:
        require_installed(info)
        if info.hub:
            _target(info)
        else:
            create(info.stage, info.name)
    except ImportError as e:
        return f"engine {info.name}: {e}; install it with: {info.install}"
    except SpeechkitError as e:
        return str(e)
    except Exception as e:  # a broken install can raise anything
        return f"engine {info.name} can't start ({e!r}); reinstall it with: {info.install}"
    return None
