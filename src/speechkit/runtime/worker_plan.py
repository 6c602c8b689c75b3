"""How a stage uses the machine: workers, threads and batches, by engine and device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.io import model_files
from speechkit.io.hardware import gpus, granted_cpus, granted_memory
from speechkit.runtime.batching import BatchSizes
from speechkit.runtime.pool_options import BATCHES_HELD
from speechkit.runtime.stage import WorkerPlan

WORKER_BYTES = 1 << 30  # of a worker's libraries and audio, without its model
MODEL_COPIES = 2  # of the weights, while they are loaded
# Windows in a batch for a device: several times those that it computes at once, so that it seldom
# computes fewer because a batch ends.
DEVICE_WINDOWS = 512
TIMES_AT_ONCE = 4
LEAST_WINDOWS = 32  # in the first batches and the last: a device computes fewer hardly faster
WINDOW_SECONDS = 30.0  # about the length of a window of batched ASR models
SECOND_BYTES = 4 * SAMPLE_RATE  # of decoded audio
AUDIO_MEMORY = 0.25  # share of the memory granted, for the batches that the workers hold
# Seconds of the longest part of a divided recording. On CPUs, parts give every worker its share; a
# device takes an hour in seconds, so that they only keep what is done from a kill.
CPU_PART, DEVICE_PART = 150.0, 600.0
MOST_LOADERS = 16  # threads that decode audio for one device


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The device of an engine, and the places of its models.

    Results depend on the kind of device, because floats and windows differ between kinds, and on no
    other field.

    ``batch_size``: number of windows; 0 for the engine's choice. ``gpus``: GPUs to use together, as
    CUDA_VISIBLE_DEVICES names them. ``offline``: never ask the hub for models. ``model_copies``: a
    folder on the machine's own disk for copies of models.
    """

    device: str = "auto"
    batch_size: int = 0
    offline: bool = False
    gpus: tuple[str, ...] = ()
    model_copies: Path | None = None


def plan_workers(info: EngineInfo, hardware: Hardware, model: Path | None) -> WorkerPlan:
    """One process per device if there is one, otherwise one per CPU as far as the memory allows.

    On CPUs, many processes with one thread are faster than one process with many threads.
    """
    if not info.takes("device"):
        return WorkerPlan(threads=1)
    cpus = granted_cpus()
    if _has_accelerator(hardware.device):
        processes = max(1, len(hardware.gpus))
        loaders = max(1, min(cpus // processes - 1, MOST_LOADERS))
        return WorkerPlan(processes, threads=0, loaders=loaders, gpus=hardware.gpus)
    return WorkerPlan(workers=min(cpus, fitting_workers(model)), threads=0, loaders=1)


def fitting_workers(model: Path | None, share: float = 0.8) -> int:
    """The number of processes with a model that a share of the memory granted holds; 1 at least."""
    weights = model_files.size(model) if model else 0
    return max(1, int(granted_memory() * share) // (WORKER_BYTES + MODEL_COPIES * weights))


def batch_sizes(info: EngineInfo, hardware: Hardware) -> BatchSizes:
    """The number of windows in a batch of utterances.

    It is small on CPUs, so that the batches divide evenly between them. On devices, the memory
    granted limits it.
    """
    if not _has_accelerator(hardware.device):
        return BatchSizes(most=hardware.batch_size or info.cpu_windows)
    held = BATCHES_HELD * max(1, len(hardware.gpus))
    fitting = int(granted_memory() * AUDIO_MEMORY / (held * WINDOW_SECONDS * SECOND_BYTES))
    most = max(1, min(TIMES_AT_ONCE * hardware.batch_size or DEVICE_WINDOWS, fitting))
    return BatchSizes(most=most, least=min(LEAST_WINDOWS, most))


def part_seconds(info: EngineInfo, hardware: Hardware) -> float:
    """The seconds of the longest part of a recording that is divided."""
    on_device = info.takes("device") and _has_accelerator(hardware.device)
    return DEVICE_PART if on_device else CPU_PART


def _has_accelerator(device: str) -> bool:
    if device == "auto":
        return gpus() > 0 or sys.platform == "darwin"
    return device != "cpu"
