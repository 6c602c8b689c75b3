"""AdamW for a model in training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

#: As Whisper itself was trained (Radford et al. 2022, table 17). The squares of gradients are
#: averaged over about 50 steps, and not over 1,000: a fine-tuning may have no more than that.
BETAS, EPSILON = (0.9, 0.98), 1e-6
MOMENTS = ("exp_avg", "exp_avg_sq")


def adamw(weights: Mapping[str, nn.Parameter], decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019), whose ``decay`` spares biases and norms.

    Its state is there from the beginning, so that memory for it can't lack later.
    """
    optimiser = torch.optim.AdamW(
        [
            {"params": [w for w in weights.values() if w.ndim > 1], "weight_decay": decay},
            {"params": [w for w in weights.values() if w.ndim < 2], "weight_decay": 0.0},
        ],
        betas=BETAS,
        eps=EPSILON,
        fused=True,
    )
    for weight in weights.values():
        moments = {name: torch.zeros_like(weight) for name in MOMENTS}
        steps = torch.zeros((), dtype=torch.float32, device=weight.device)
        optimiser.state[weight] = {"step": steps, **moments}
    return optimiser


def state(
    weights: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The weights and all that the optimiser knows of them, by name: the tensors themselves."""
    return {
        f"{part}.{name}": tensor
        for name, weight in weights.items()
        for part, tensor in {"weight": weight, **optimiser.state[weight]}.items()
    }
