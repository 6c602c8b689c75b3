"""The precision of a training: of what is multiplied; the weights stay float32."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechkit.engines.torch import device as torch_device


@contextmanager
def full_float32() -> Iterator[None]:
    """A context without TF32, whose mantissa of 10 bits shows in the logarithms of features."""
    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(usual)


class Precision:
    """float32, or bfloat16 or float16 for what can bear it (Micikevicius et al. 2018).

    Gradients in float16 would fall below its smallest number: the loss is multiplied by a scale
    first, which is halved where they overflow and doubled after 2,000 steps where they didn't.
    """

    def __init__(self, requested: str, device: torch.device) -> None:
        self.dtype = torch_device.dtype(requested, device, "finetune")
        self._device = device
        self._scaler = torch.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self._scaler.scale(torch.zeros((), device=device))  # has no scale before its first use
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32
            torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True

    @property
    def scale(self) -> float | None:
        """What the loss is multiplied by; None where nothing has to."""
        return float(self._scaler.get_scale()) if self._scaler.is_enabled() else None

    def computing(self) -> AbstractContextManager[Any]:
        """A context for the forward pass."""
        if self.dtype == torch.float32:
            return nullcontext()
        context: AbstractContextManager[Any] = torch.autocast(self._device.type, self.dtype)
        return context

    def scaled(self, loss: Tensor) -> Tensor:
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def unscale(self, optimiser: torch.optim.Optimizer) -> None:
        """Divide the gradients by the scale."""
        self._scaler.unscale_(optimiser)

    def update(self) -> None:
        """Choose the next step's scale, after `unscale`."""
        self._scaler.update()

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self._scaler.state_dict()) + "\n", encoding="utf-8")

    def restore(self, path: Path) -> None:
        """Raise ValueError, with nothing changed, for a file that isn't one of `save`'s."""
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise ValueError(f"{path}: no state of a scaler in JSON: {e}") from e
        known = self._scaler.state_dict()
        if not isinstance(state, dict) or state.keys() != known.keys():
            raise ValueError(f"{path}: not the state of a scaler for this precision")
        for name, value in state.items():
            if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
                raise ValueError(f"{path}: {name} is {value!r}, and not a number")
        if state:
            self._scaler.load_state_dict(state)
