"""The memory that this process holds on a device, where PyTorch tells at no cost."""

from __future__ import annotations

import sys
from typing import Any


def device_memory() -> int | None:
    """Bytes reserved by PyTorch on all GPUs; None where it isn't loaded or uses no GPU."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return sum(int(torch.cuda.memory_reserved(gpu)) for gpu in range(torch.cuda.device_count()))
