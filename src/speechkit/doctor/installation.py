"""Examines the installation: packages, engines, tools, devices, memory and folders, by using them.

Everything is tried inside this process, as a run would; torch is imported only where it is
installed. Nothing is written except by `tempfile`, to find the temporary folder.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from speechkit.engines import model_catalogue, plugins, registry
from speechkit.engines.engine_info import STAGES, EngineInfo
from speechkit.engines.finetune import whisper as finetune_whisper
from speechkit.io import hardware
from speechkit.io.packaged_models import user_cache
from speechkit.version import __version__

DEFAULT_PIPELINE = ("vad", "asr")  # stages, with their default engines

_TOOL_SECONDS = 20  # nvidia-smi takes some 10 s on a node whose driver sleeps


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of a package, engine, tool or device: details, or a problem with its remedy."""

    name: str
    detail: str = ""
    problem: str | None = None
    needed: bool = False  # by the default pipeline


@dataclass(frozen=True, slots=True)
class Folder:
    """A cache or temporary folder; ``size`` of its content and ``free`` space, in bytes."""

    name: str
    path: str
    size: int | None
    free: int
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The results of an examination; memory in bytes."""

    speechkit: str
    python: str
    platform: str
    cpus_granted: int
    cpus_present: int
    memory_granted: int
    memory_present: int
    packages: tuple[Finding, ...]
    engines: tuple[Finding, ...]  # named "vad ten", "asr faster-whisper", …
    tools: tuple[Finding, ...]
    devices: tuple[Finding, ...]
    folders: tuple[Folder, ...]

    @property
    def default_pipeline_ready(self) -> bool:
        """Whether manifest, vad, asr and score run with their default engines."""
        return not any(item.needed and item.problem for item in self.packages + self.engines)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "default_pipeline_ready": self.default_pipeline_ready}


def examine() -> Installation:
    """Examine everything; takes as long as importing all installed packages."""
    return Installation(
        speechkit=__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        cpus_granted=hardware.granted_cpus(),
        cpus_present=hardware.present_cpus(),
        memory_granted=hardware.granted_memory(),
        memory_present=hardware.present_memory(),
        packages=tuple(_package(*package) for package in _PACKAGES),
        engines=tuple(_engines()),
        tools=tuple(_tools()),
        devices=tuple(_devices()),
        folders=tuple(_folders()),
    )


#: Import name, name at the package index, purpose, whether the default pipeline needs it.
_PACKAGES = (
    ("numpy", "numpy", "", True),
    ("soundfile", "soundfile", "", True),
    ("soxr", "soxr", "", True),
    ("jiwer", "jiwer", "", True),
    ("whisper_normalizer.basic", "whisper-normalizer", "", True),
    ("av", "av", "m4a, mp4, webm and aac", False),
    ("omegaconf", "omegaconf", "--config", False),
)


def _package(module: str, name: str, purpose: str, needed: bool) -> Finding:
    try:
        importlib.import_module(module)
        version = metadata.version(name)
    except Exception as e:  # a broken package raises anything
        problem = f"{_first_line(e)}; run: pip install --force-reinstall {name}"
        return Finding(name, purpose, problem, needed)
    return Finding(name, f"{version}, for {purpose}" if purpose else version, None, needed)


def _engines() -> Iterator[Finding]:
    for stage in STAGES:
        yield from map(_engine, registry.available(stage))
    yield _engine(finetune_whisper.INFO)
    for name, problem in plugins.problems(registry.ENGINES).items():
        yield Finding(name, "of another package", problem)


def _engine(info: EngineInfo) -> Finding:
    try:
        problem = registry.check(info)
    except Exception as e:  # as for packages
        problem = f"{_first_line(e)}; reinstall it with: {info.install}"
    needed = info.stage in DEFAULT_PIPELINE and info.name == registry.default(info.stage)
    if needed and info.model and not problem and not model_catalogue.is_here(info, info.model):
        problem = f"model {info.model} is not here; {model_catalogue.way_out(info, info.model)}"
    return Finding(f"{info.stage} {info.name}", info.note, problem, needed)


def _tools() -> Iterator[Finding]:
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc++.so.1")
            yield Finding("libc++", "libc++.so.1, for vad ten")
        except OSError:
            yield Finding(
                "libc++",
                "for vad ten",
                "libc++.so.1 can't be loaded; run: apt-get install libc++1 (Debian, Ubuntu) "
                "or conda install -c conda-forge libcxx",
            )
    ffmpeg = shutil.which("ffmpeg")
    # Not a problem where it is missing: PyAV has the decoders that speechkit uses.
    yield Finding("ffmpeg", f"{ffmpeg}, optional" if ffmpeg else "not found, optional")


def _devices() -> Iterator[Finding]:
    gpus = list(_nvidia_smi())
    yield from gpus
    if find_spec("torch") is None:
        yield Finding("torch", "not installed; GPU engines bring it")
        return
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except Exception as e:
        yield Finding(
            "torch", "", f"can't be imported: {_first_line(e)}; run: pip install torch==2.13.0"
        )
        return
    cuda = torch.cuda.is_available()
    blind = any(not gpu.problem for gpu in gpus) and not cuda
    yield Finding(
        "torch",
        torch.__version__,
        "sees no GPU though the driver does: it was built without CUDA, or CUDA_VISIBLE_DEVICES "
        "hides them"
        if blind
        else None,
    )
    for index in range(torch.cuda.device_count() if cuda else 0):
        device = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", f"{device.name}, {_gib(device.total_memory)}")
    if torch.backends.mps.is_available():
        yield Finding("mps", "Apple GPU")


def _nvidia_smi() -> Iterator[Finding]:
    """The GPUs the driver knows, whether or not any package can use them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return
    query = ("--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader")
    try:
        answer = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=_TOOL_SECONDS, check=True
        ).stdout
    except subprocess.CalledProcessError as e:
        yield Finding("nvidia-smi", program, (e.stdout + e.stderr).strip().partition("\n")[0])
    except (OSError, subprocess.TimeoutExpired) as e:
        yield Finding("nvidia-smi", program, _first_line(e))
    else:
        for line in answer.splitlines():
            index, _, rest = line.partition(", ")
            yield Finding(f"GPU {index}", ", driver ".join(rest.rsplit(", ", 1)))


def _folders() -> Iterator[Folder]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for name, default in (
        ("HF_HOME", cache / "huggingface"),
        ("HF_HUB_CACHE", None),  # below HF_HOME where not set
        ("TORCH_HOME", cache / "torch"),
        ("NEMO_CACHE_DIR", None),  # below TORCH_HOME where not set
    ):
        path = os.environ.get(name) or default
        if path is not None:
            yield _cache(name, Path(path).expanduser())
    with suppress(OSError):
        yield _cache("XDG_CACHE_HOME", user_cache())
    temporary = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    yield Folder(
        "TMPDIR",
        str(temporary),
        None,
        shutil.disk_usage(_nearest(temporary)).free,
        _open(temporary),
    )


def _cache(name: str, path: Path) -> Folder:
    nearest = _nearest(path)  # a cache is made when it is first needed
    return Folder(name, str(path), _size(path), shutil.disk_usage(nearest).free, _open(nearest))


def _nearest(path: Path) -> Path:
    """The folder itself or the first one above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if os.access(p, os.F_OK))


def _open(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _size(folder: Path) -> int:
    """Bytes in the files below a folder; links count as themselves, so blobs count once."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(place, file)).st_size  # noqa: PTH118
            except OSError:
                continue
    return total


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().partition("\n")[0]


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
