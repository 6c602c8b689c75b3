"""Low-rank adapters by peft: put into a model, and added to its weights where it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from speechkit.engines.finetune.protocol import LoraOptions
from speechkit.errors import UsageError

ADAPTER = "default"
SEED = 0  # of the adapters' first weights: every start of a training has the same


def add(model: nn.Module, options: LoraOptions, parts: Sequence[str]) -> None:
    """Put adapters into the linear layers of those ``parts`` of the model; they alone are trained.

    Raise `UsageError` where a target is no end of a linear layer's name.
    """
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(tuple(f"{part}." for part in parts))
    ]
    for target in options.targets:
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            raise UsageError(f"adapters for {target}: the model's linear layers are {known}")
    ends = tuple(f".{target}" for target in options.targets)
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=[name for name in linear if name.endswith(ends)],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        inject_adapter_in_model(config, model, ADAPTER)


def merged(model: nn.Module) -> dict[str, Tensor]:
    """All weights by their names without adapters, whose products are added to copies."""
    weights: dict[str, Tensor] = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" not in name
    }
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            adapter: Any = module
            with torch.no_grad():
                product = adapter.get_delta_weight(ADAPTER)
                weights[f"{name}.weight"] = weights[f"{name}.weight"] + product
    return weights
