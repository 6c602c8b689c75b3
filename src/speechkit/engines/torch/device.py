"""Where an engine on PyTorch runs, in which precision, and what it does when memory runs out."""

from __future__ import annotations

import torch

from speechkit.errors import UsageError

CPU_BATCH = 16  # windows; more gains nothing on a CPU
MOST = 64  # windows on any device
USABLE = 0.7  # of the free device memory; the rest is for fragments and peaks
DTYPES = ("bfloat16", "float16", "float32")
#: cuBLAS and cuDNN take memory of their own, beside PyTorch's, and each says so in its own words.
OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "unable to find an engine to execute"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_ALLOC_FAILED"),
)


def device(wanted: str, engine: str) -> torch.device:
    """The device of ``--device``; auto: a GPU where there is one. Raises `UsageError`."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind = wanted.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {wanted}: {engine} runs on cpu, cuda, cuda:N and mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {wanted}: this PyTorch sees no CUDA device; use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"--device {wanted}: this PyTorch has no MPS; use --device cpu")
    return torch.device(wanted)


def dtype(wanted: str, where: torch.device, engine: str) -> torch.dtype:
    """The precision of ``--compute-type``; auto: what the device is fast in. Raises
    `UsageError`."""
    if wanted != "auto":
        if wanted not in DTYPES:
            raise UsageError(f"--compute-type {wanted}: {engine} has {', '.join(DTYPES)}")
        named: torch.dtype = getattr(torch, wanted)
        return named
    if where.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float16 if where.type == "mps" else torch.float32


def name(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")


def batch_size(where: torch.device, window: int) -> int:
    """How many windows of so many bytes the device takes at once."""
    if where.type != "cuda":
        return CPU_BATCH
    free, _ = torch.cuda.mem_get_info(where)
    return int(min(MOST, max(1, USABLE * free // window)))


def out_of_memory(error: Exception) -> bool:
    """CPU and MPS raise plain RuntimeErrors."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or any(phrase in str(error) for phrase in OUT_OF_MEMORY)


def free_memory(where: torch.device) -> None:
    """Gives what is cached back to the device."""
    if where.type == "cuda":
        torch.cuda.empty_cache()
    elif where.type == "mps":
        torch.mps.empty_cache()
