"""The device, precision and memory of an engine on PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from speechkit.errors import UsageError

CPU_BATCH = 16  # windows; more gains nothing on a CPU
MOST = 64  # windows on any device
USABLE = 0.7  # of the free device memory; the rest is for fragments and peaks
DTYPES = ("bfloat16", "float16", "float32")
#: cuBLAS and cuDNN allocate memory beside PyTorch's, and report its end in words of their own.
OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "unable to find an engine to execute"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_ALLOC_FAILED"),
)


def device(requested: str, engine: str) -> torch.device:
    """The device of ``--device``; auto: a GPU where there is one. Raise `UsageError`."""
    if requested == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind = requested.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {requested}: {engine} runs on cpu, cuda, cuda:N and mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"--device {requested}: this PyTorch sees no CUDA device; use --device cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"--device {requested}: this PyTorch has no MPS; use --device cpu")
    return torch.device(requested)


def dtype(requested: str, device: torch.device, engine: str) -> torch.dtype:
    """The precision of ``--compute-type``; auto: the device's fast one. Raise `UsageError`.

    Whichever it is, what an engine computes in float32 on CUDA is float32 from now on.
    """
    if device.type == "cuda":  # whose convolutions round to TF32, with a mantissa of 10 bits
        torch.backends.cudnn.allow_tf32 = False
    if requested != "auto":
        if requested not in DTYPES:
            raise UsageError(f"--compute-type {requested}: {engine} has {', '.join(DTYPES)}")
        precision: torch.dtype = getattr(torch, requested)
        return precision
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32


def name(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")


def batch_size(device: torch.device, window: int) -> int:
    """The number of windows, of ``window`` bytes each, that fit on the device at once."""
    if device.type != "cuda":
        return CPU_BATCH
    free, _ = torch.cuda.mem_get_info(device)
    return fitting(free, window)


def fitting(room: int, window: int, others: int = 0, most: int = MOST) -> int:
    """The number of windows, of ``window`` bytes each, that fit into ``room`` beside ``others``."""
    return _size((USABLE * room - others) / window, most)


def corrected(size: int, taken: int, room: int, most: int = MOST) -> int:
    """The number of windows that fit into ``room`` bytes, if ``size`` of them have ``taken`` some.

    It is ``size`` itself, unless another one is better by a quarter.
    """
    better = _size(USABLE * room * size / max(taken, 1), most)
    return better if better <= 0.75 * size or better >= 1.25 * size else size


def _size(fits: float, most: int) -> int:
    """Up to ``fits``: in eights, which the arithmetic of devices is made for."""
    size = max(1, min(most, int(fits)))
    return size if size < 8 else size // 8 * 8


class Memory:
    """The memory of a CUDA device that is taken from now on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: int = torch.cuda.memory_allocated(device)
        self.begin()

    def begin(self) -> None:
        """Forget what was taken at its peak."""
        torch.cuda.reset_peak_memory_stats(self._device)

    def taken(self) -> int:
        """The most bytes taken at any time since `begin`."""
        peak: int = torch.cuda.max_memory_allocated(self._device)
        return peak - self._before

    def room(self) -> int:
        """The bytes that are free or have been taken."""
        free: int = torch.cuda.mem_get_info(self._device)[0]
        reserved: int = torch.cuda.memory_reserved(self._device)
        return free + reserved - self._before


def out_of_memory(error: Exception) -> bool:
    """Whether the error means that memory ran out; CPU and MPS raise plain RuntimeErrors."""
    is_known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return is_known or any(phrase in str(error) for phrase in OUT_OF_MEMORY)


def free_memory(device: torch.device) -> None:
    """Release cached memory of the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device. CUDA copies it in its turn, for which the host does not wait."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all work given to it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
