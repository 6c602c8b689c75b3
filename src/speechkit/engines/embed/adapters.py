"""Projection heads over pooled vectors: of numpy's arrays, or of torch's on a device."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from speechkit.errors import EngineMissing

Array = NDArray[np.float32]

#: Functions between the layers of a stack, of an array and its library.
ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "relu": lambda x, _: x * (x > 0),
    "gelu": lambda x, library: x * (1 + library.erf(x / 2**0.5)) / 2,
    "silu": lambda x, library: x / (1 + library.exp(-x)),
    "tanh": lambda x, library: library.tanh(x),
}
NUMPY = SimpleNamespace(erf=np.vectorize(math.erf, otypes=[np.float32]), exp=np.exp, tanh=np.tanh)


@dataclass(frozen=True, slots=True)
class Head:
    """``layers``: (weight [in, out], bias [out]) of each, in order, with ``activation`` between."""

    layers: Sequence[tuple[Any, Any]]
    activation: str = ""

    @property
    def width(self) -> int:
        return int(self.layers[-1][0].shape[1])

    def __call__(self, vectors: Any, library: Any) -> Any:
        """[n, width] of ``vectors`` [n, width of the input]; ``library``: `NUMPY` or torch."""
        for number, (weight, bias) in enumerate(self.layers):
            if number:
                vectors = ACTIVATIONS[self.activation](vectors, library)
            vectors = vectors @ weight + bias
        return vectors

    def moved(self, move: Callable[[Array], Any]) -> Head:
        """With its weights as ``move`` makes them."""
        return Head([(move(weight), move(bias)) for weight, bias in self.layers], self.activation)


def read(files: Sequence[tuple[str, str]], width: int) -> dict[str, Head]:
    """The heads by name, for vectors of ``width``. Raise `EngineMissing` for one that can't be."""
    return {name: _head(Path(path), f"--adapter {name}={path}", width) for name, path in files}


def _head(path: Path, named: str, width: int) -> Head:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as e:
        raise EngineMissing(f"{named}: no such file") from e
    except Exception as e:  # a broken file can raise anything
        raise EngineMissing(f"{named}: not a safetensors file of float32 or float16: {e}") from e
    try:
        return _checked(tensors, metadata, width)
    except ValueError as e:
        raise EngineMissing(f"{named}: {e}") from e


def _checked(tensors: Mapping[str, Any], metadata: Mapping[str, str], width: int) -> Head:
    layers: list[tuple[Array, Array]] = []
    for prefix in _prefixes(tensors):
        weight = tensors[f"{prefix}weight"]
        bias = tensors.get(f"{prefix}bias", np.zeros(weight.shape[:1], np.float32))
        shapes = (weight.shape, bias.shape)
        if weight.ndim != 2 or 0 in weight.shape or bias.shape != weight.shape[:1]:
            raise ValueError(f"{prefix}weight and bias are {shapes}, not [out, in] and [out]")
        if weight.shape[1] != width:
            before = "the layer before" if layers else "the encoder"
            raise ValueError(
                f"{prefix}weight takes vectors of {weight.shape[1]}, but {before} makes {width}"
            )
        layer = tuple(np.ascontiguousarray(one, np.float32) for one in (weight.T, bias))
        if not all(np.isfinite(one).all() for one in layer):
            raise ValueError(f"{prefix}weight or bias has values that are not finite")
        layers.append((layer[0], layer[1]))
        width = len(weight)
    activation = metadata.get("activation", "")
    if len(layers) > 1 and activation not in ACTIVATIONS:
        raise ValueError(
            f"its metadata names the activation {activation!r} for its {len(layers)} layers; there "
            f"are {', '.join(ACTIVATIONS)}"
        )
    return Head(layers, activation)


def _prefixes(tensors: Mapping[str, Any]) -> list[str]:
    """Of the names of each layer, in order: "" for a single one, else "0.", "2." … of a stack."""
    if "weight" in tensors and tensors.keys() <= {"weight", "bias"}:
        return [""]
    named = [re.fullmatch(r"(\d{1,3})\.(weight|bias)", name) for name in tensors]
    numbers = sorted({int(match[1]) for match in named if match})
    has_weights = all(f"{number}.weight" in tensors for number in numbers)
    if not numbers or None in named or not has_weights:
        raise ValueError(
            f"it holds {', '.join(sorted(tensors)[:6])}; a head has weight and bias, "
            "or a stack 0.weight, 0.bias, 2.weight …"
        )
    return [f"{number}." for number in numbers]
