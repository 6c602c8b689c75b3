"""Reads fairseq's HuBERT checkpoints, of any layout, without fairseq and without running code.

A checkpoint is a pickle. Only the classes in `ALLOWED` are looked up while it is read; fairseq's
own classes become inert `Stub`s, and any other class is refused by name.
"""

from __future__ import annotations

import ast
import os
import pickle
import typing
import zipfile
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import omegaconf
import torch
from omegaconf import OmegaConf

from speechkit.errors import EngineMissing

FINE_TUNED = "w2v_encoder.w2v_model."  # before the names of an encoder's weights
MOST_CONV_LAYERS = 64  # of a repetition; HuBERT has 7
MOST_VALUES, MOST_DEPTH = 100_000, 60  # of a configuration; HuBERT's has 300, 4 deep
CONFIGS = ("fairseq.", "omegaconf.")  # packages whose classes become stubs

Weights = dict[str, torch.Tensor]
ConvLayers = list[tuple[int, int, int]]


class Stub:
    """Stands for a class named in a checkpoint: takes any arguments and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Stub:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _numpy() -> list[Any]:
    """The classes of scalars, also under the names of numpy 1."""
    scalar = np.float64(0).__reduce__()[0]
    types = {type(np.dtype(code)) for code in (*np.typecodes["AllInteger"], *np.typecodes["Float"])}
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *types]


#: Containers and values of configurations, no code. OmegaConf's nodes are only data, too.
ALLOWED: tuple[Any, ...] = (
    *(Namespace, defaultdict, dict, list, int, float, str, bool, typing.Any),
    *(omegaconf.DictConfig, omegaconf.ListConfig, omegaconf.AnyNode, omegaconf.BooleanNode),
    *(omegaconf.FloatNode, omegaconf.IntegerNode, omegaconf.StringNode, omegaconf.EnumNode),
    *(omegaconf.base.ContainerMetadata, omegaconf.base.Metadata),
    *_numpy(),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``model`` and ``task``: the configuration, plain; ``weights`` under fairseq's names.

    ``fine_tuned``: the encoder was part of a recogniser.
    """

    path: Path
    model: Mapping[str, Any]
    task: Mapping[str, Any]
    weights: Weights
    fine_tuned: bool = False


def read(path: Path) -> Checkpoint:
    """Read a HuBERT checkpoint. Raise `EngineMissing` with the reason where it can't be one."""
    state = load_inert(path)
    weights = state.get("model") if isinstance(state, dict) else None
    if not isinstance(weights, dict) or not weights or not are_weights(weights):
        raise EngineMissing(f"{path}: holds no weights under 'model'; not a fairseq checkpoint")
    config = _sections(state, path)
    fine_tuned = "w2v_args" in config["model"]
    if fine_tuned:
        config = _encoder_sections(config["model"]["w2v_args"], path)
        weights = _encoder_weights(weights)
    kind = config["model"].get("_name") or config["model"].get("arch") or "hubert"
    if not str(kind).startswith("hubert"):
        raise EngineMissing(f"{path}: a model of the kind {kind!r}, not HuBERT")
    return Checkpoint(path, config["model"], config["task"], weights, fine_tuned)


def _encoder_sections(args: Any, path: Path) -> dict[str, dict[str, Any]]:
    """The configuration of the encoder that a recogniser was fine-tuned from."""
    if not args:
        raise EngineMissing(
            f"{path}: was fine-tuned and doesn't say from what (w2v_args); take the checkpoint "
            "that it was made of"
        )
    return _sections({"cfg": args}, path)


def _encoder_weights(weights: Weights) -> Weights:
    """Those of a recogniser's weights that are its encoder's, under the encoder's names."""
    return {
        name.removeprefix(FINE_TUNED): value
        for name, value in weights.items()
        if name.startswith(FINE_TUNED)
    }


def are_weights(values: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in values.items())


def load_inert(path: Path, device: torch.device | str = "cpu") -> Any:
    """The content of a file of torch. Raise `EngineMissing` for a corrupt or a hostile file."""
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)  # it would overrule weights_only
    try:
        _require_uncompressed(path)
        with torch.serialization.safe_globals([*ALLOWED, *_stubs(path)]):
            return torch.load(path, map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as e:  # a broken file can raise anything
        raise EngineMissing(f"{path}: {reason(e)}") from e


def _require_uncompressed(path: Path) -> None:
    """Raise for a compressed file; torch writes none. Thus reading takes no more than its size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as opened:
            members = opened.infolist()
        is_compressed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if is_compressed or sum(member.file_size for member in members) > path.stat().st_size:
            raise pickle.UnpicklingError("compressed")


def _stubs(path: Path) -> list[Any]:
    """Stubs for the file's classes of fairseq, and those of OmegaConf beyond `ALLOWED`."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # not a zip file: the format of torch before 1.6
        names = ["fairseq.data.dictionary.Dictionary"]
    known = {f"{cls.__module__}.{cls.__qualname__}" for cls in ALLOWED if isinstance(cls, type)}
    return [
        (type("Stub", (Stub,), {}), name) for name in names if _inert(name) and name not in known
    ]


def _inert(name: str) -> bool:
    return name.startswith(CONFIGS)


def reason(error: Exception, otherwise: str = "can't be read as a file of PyTorch") -> str:
    """The reason why torch has not read a file, without its advice to read it all the same."""
    text = str(error)
    _, is_global, rest = text.partition("GLOBAL ")
    if is_global and isinstance(error, pickle.UnpicklingError):
        return (
            f"refused, since it asks for {rest.split()[0]}: a checkpoint has no need of that, and "
            "loading it could run code"
        )
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return "refused, it is no checkpoint of weights and configuration alone"
    return f"{otherwise}: {first_line(error) or type(error).__name__}"


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _sections(state: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """The configuration of model and task, from ``cfg`` (2021) or ``args`` (before)."""
    try:
        _require_bounds([state.get("cfg"), state.get("args")])
    except ValueError as e:
        raise EngineMissing(f"{path}: refused, its configuration has {e}") from e
    cfg = _plain(state.get("cfg"))
    if isinstance(cfg, dict) and cfg.get("model") and cfg.get("task"):
        sections = {name: _plain(cfg[name]) for name in ("model", "task")}
        if all(isinstance(section, dict) for section in sections.values()):
            return sections
    args = _plain(state.get("args")) or cfg
    if isinstance(args, dict) and args:
        kind = {"_name": str(args.get("arch", "hubert"))}
        return {"model": {**args, **kind}, "task": {**args, "_name": args.get("task")}}
    raise EngineMissing(f"{path}: has neither cfg nor args; not a fairseq checkpoint")


def _require_bounds(config: Any, depth: int = 0) -> int:
    """The number of values, each counted as often as it occurs. Raise `ValueError` for too many.

    A pickle can hold a value many times over, or within itself.
    """
    if depth > MOST_DEPTH:
        raise ValueError(f"more than {MOST_DEPTH} levels")
    inside = vars(config).get("_content") if OmegaConf.is_config(config) else config
    inside = vars(inside) if isinstance(inside, Namespace) else inside
    count = 1
    if isinstance(inside, dict | list | tuple):
        for value in inside.values() if isinstance(inside, dict) else inside:
            count += _require_bounds(value, depth + 1)
            if count > MOST_VALUES:
                raise ValueError(f"more than {MOST_VALUES} values")
    return count


def _plain(config: Any) -> Any:
    if isinstance(config, Namespace):
        return vars(config)
    if OmegaConf.is_config(config):
        return OmegaConf.to_container(config, resolve=False)
    return config


def conv_layers(text: Any, path: Path) -> ConvLayers:
    """``[(512,10,5)] + [(512,3,2)] * 4``: (channels, kernel, stride) of each layer.

    fairseq evaluates this string, so that a checkpoint can run code; here it is parsed, and only
    numbers, tuples, lists, ``+`` and ``*`` are known. Raise `EngineMissing`.
    """
    try:
        layers = [tuple(layer) for layer in _literal(ast.parse(str(text), mode="eval").body)]
        if not layers or not all(len(layer) == 3 and min(layer) > 0 for layer in layers):
            raise ValueError
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as e:
        raise EngineMissing(
            f"{path}: refused, its conv_feature_layers {str(text)[:80]!r} is not a list of "
            "(channels, kernel, stride); fairseq would run it as code"
        ) from e
    return layers


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _literal(left), _literal(right)
            if isinstance(first, list) and isinstance(second, list):
                return first + second
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            first, second = _literal(left), _literal(right)
            known = isinstance(first, list) and isinstance(second, int)
            if known and len(first) * second <= MOST_CONV_LAYERS:
                return first * second
    raise ValueError
