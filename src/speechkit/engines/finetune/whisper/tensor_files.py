"""Tensors in files of safetensors' format, which hold nothing that could be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

SHOWN = 3  # names in an error


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the tensors. Raise OSError, and `SafetensorError` for one in safetensors itself."""
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    path.touch()
    mode = path.stat().st_mode  # by the umask; safetensors gives its files to the owner alone
    save_file(whole, path, {"format": "pt"})  # transformers reads no file without it
    path.chmod(mode)


def read_into(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Give the tensors the values of a file. Raise ValueError, with nothing changed, where the file
    doesn't hold just these, in their shapes and precisions."""
    try:
        with safe_open(path, framework="pt") as file:
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as e:
        raise ValueError(f"{path}: no whole file of safetensors: {e}") from e
    shared = saved.keys() & tensors.keys()
    problems = (
        ("are missing", tensors.keys() - shared),
        ("are not of this training", saved.keys() - shared),
        ("have another shape or precision", {n for n in shared if _differ(saved[n], tensors[n])}),
    )
    for problem, names in problems:
        if names:
            shown = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            raise ValueError(f"{path}: tensors {problem}: {shown}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])


def _differ(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype) != (other.shape, other.dtype)
