"""The shims: patches for failures of fairseq 0.12.2 and textlesslib, each with its error.

`IMPORTING` are in force while the packages are imported and taken back afterwards; `MENDING` are
applied to each checkpoint on its way from `checkpoint.read` to fairseq, in this order.
"""

from __future__ import annotations

import dataclasses
import importlib.machinery
import logging
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch

from speechkit.compat.fairseq_checkpoint import Checkpoint, conv_layers

UNHASHABLE = ("fairseq", "hydra")  # packages whose dataclasses have instances for defaults


@contextmanager
def hashable_dataclasses() -> Iterator[None]:
    """``ValueError: mutable default <class 'fairseq.dataclass.configs.CommonConfig'> for field
    common is not allowed: use default_factory``, since Python 3.11; of hydra-core 1.0.7, which
    fairseq itself asks for, too.

    A default counts as mutable where it has no hash, so these classes are given one. (A
    default_factory would not do: fairseq's hydra_init reads ``.default``.)
    """
    original = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(class_: type) -> type:
            if class_.__module__.partition(".")[0] in UNHASHABLE and not options.get("frozen"):
                options["unsafe_hash"] = True
            return original(**options)(class_)

        return decorate if cls is None else decorate(cls)

    with mock.patch.object(dataclasses, "dataclass", dataclass):
        yield


@contextmanager
def quiet_logging() -> Iterator[None]:
    """No error, but every INFO of every library on the terminal, and a user's own set-up of
    logging without effect: fairseq calls ``logging.basicConfig`` when it is imported."""
    with mock.patch.object(logging, "basicConfig", lambda **_: None):
        yield


@contextmanager
def resampling_torchaudio() -> Iterator[None]:
    """``ModuleNotFoundError: No module named 'torchaudio'``: textlesslib imports it to resample,
    its wheels are for CUDA, and being there it breaks NeMo and transformers.

    A stand-in with that one function, over soxr; gone again when the import is over.
    """
    stand_in = types.ModuleType("torchaudio")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    stand_in.functional = types.SimpleNamespace(resample=_resample)  # type: ignore[attr-defined]
    if "torchaudio" in sys.modules:
        yield
        return
    sys.modules["torchaudio"] = stand_in
    try:
        yield
    finally:
        del sys.modules["torchaudio"]


def _resample(waveform: torch.Tensor, rate: int, new_rate: int) -> torch.Tensor:
    import soxr

    return torch.from_numpy(soxr.resample(waveform.cpu().numpy().T, rate, new_rate).T.copy())


def known_keys(saved: Checkpoint, task: type, model: type) -> Checkpoint:
    """``ConfigKeyError: Key '…' not in 'HubertPretrainingConfig'``: the configuration has lost
    fields since 2021, and one of before, ``args``, holds those of everything in one place."""

    def cut(config: Any, known: type) -> dict[str, Any]:
        names = {"_name", *(field.name for field in dataclasses.fields(known))}
        return {key: value for key, value in config.items() if key in names}

    return replace(saved, task=cut(saved.task, task), model=cut(saved.model, model))


def whole_numbers(saved: Checkpoint, task: type, model: type) -> Checkpoint:
    """``ValidationError: Value '16000.0' of type 'float' could not be converted to Integer``, since
    OmegaConf 2.1: in 2021 whole numbers were saved as floats where the code of then had floats."""

    def cast(config: Any, known: type) -> dict[str, Any]:
        whole = {field.name for field in dataclasses.fields(known) if _is_int(field.type)}
        return {
            key: int(value)
            if key in whole and isinstance(value, float) and value.is_integer()
            else value
            for key, value in config.items()
        }

    return replace(saved, task=cast(saved.task, task), model=cast(saved.model, model))


def _is_int(kind: Any) -> bool:
    return kind is int or int in getattr(kind, "__args__", ())


def parsed_convolutions(saved: Checkpoint, task: type, model: type) -> Checkpoint:
    """No error: fairseq calls ``eval`` on ``conv_feature_layers``, so that a checkpoint can run
    any code, even if loaded with weights_only. It receives the result of `conv_layers` instead."""
    if "conv_feature_layers" not in saved.model:
        return saved
    layers = conv_layers(saved.model["conv_feature_layers"], saved.path)
    return replace(saved, model={**saved.model, "conv_feature_layers": str(layers)})


def old_weight_norm(saved: Checkpoint, task: type, model: type) -> Checkpoint:
    """``Missing key(s) in state_dict: "encoder.pos_conv.0.weight_g"``: a checkpoint saved by a
    fairseq whose positional convolution was parametrised as since torch 2.0."""
    weights = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in saved.weights.items()
    }
    return replace(saved, weights=weights)


IMPORTING: dict[str, list[Callable[[], AbstractContextManager[None]]]] = {
    "fairseq": [hashable_dataclasses, quiet_logging],
    "textless": [resampling_torchaudio],
}
MENDING: list[Callable[[Checkpoint, type, type], Checkpoint]] = [
    known_keys,
    whole_numbers,
    parsed_convolutions,
    old_weight_norm,
]
