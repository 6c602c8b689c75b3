"""How a stage uses the machine: workers, threads and batches, by engine and device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from speechkit.engines.engine_info import EngineInfo
from speechkit.io import model_files
from speechkit.io.hardware import gpus, granted_cpus, granted_memory
from speechkit.runtime.stage import Placement

WORKER_BYTES = 1 << 30  # a worker's libraries and audio, beside its model
MODEL_COPIES = 2  # of the weights, while they are loaded
# Twice what a device computes at once, so that the features of one half are made during the other.
DEVICE_WINDOWS = 128
WINDOW_SECONDS = 30.0  # about what batched ASR models take in at once
MOST_LOADERS = 8  # threads that decode audio for one device


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Where an engine runs. Results depend on the kind of device, whose floats and windows are its
    own, and on nothing else here.

    ``batch_size``: windows; 0: the engine's choice. ``gpus``: as CUDA_VISIBLE_DEVICES names them,
    used together. ``model_copies``: a folder on the machine's own disk for copies of models."""

    device: str = "auto"
    batch_size: int = 0
    offline: bool = False
    gpus: tuple[str, ...] = ()
    model_copies: Path | None = None


def place(info: EngineInfo, hardware: Hardware, model: Path | None) -> Placement:
    """One process a device where there is one, else one a CPU as far as memory goes: on CPUs,
    processes of one thread do more than the threads of one process."""
    if not info.takes("device"):
        return Placement(threads=1)
    cpus = granted_cpus()
    if _has_accelerator(hardware.device):
        processes = max(1, len(hardware.gpus))
        loaders = max(1, min(cpus // processes - 1, MOST_LOADERS))
        return Placement(processes, threads=0, loaders=loaders, gpus=hardware.gpus)
    weights = model_files.size(model) if model else 0
    fitting = int(granted_memory() * 0.8) // (WORKER_BYTES + MODEL_COPIES * weights)
    return Placement(workers=max(1, min(cpus, fitting)), threads=0, loaders=1)


def batch_windows(info: EngineInfo, hardware: Hardware) -> int:
    """How many windows a batch of utterances should come to. Few on CPUs, between which the batches
    are shared out."""
    if _has_accelerator(hardware.device):
        return 2 * hardware.batch_size or DEVICE_WINDOWS
    return hardware.batch_size or info.cpu_windows


def _has_accelerator(device: str) -> bool:
    if device == "auto":
        return gpus() > 0 or sys.platform == "darwin"
    return device != "cpu"
