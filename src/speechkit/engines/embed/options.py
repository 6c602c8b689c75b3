"""The options of the engines of embed."""

from __future__ import annotations

import os
from dataclasses import dataclass

from speechkit.engines.options import EngineOptions, option
from speechkit.io.embedding_shards import EMBEDDINGS, NAME

POOLINGS = ("mean", "max", "cls")


def parse_adapters(text: str) -> tuple[tuple[str, str], ...]:
    """Names and absolute paths of ``NAME=FILE,NAME=FILE…``. Raise `ValueError`."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, is_named, file = part.strip().partition("=")
        if not is_named or not file:
            raise ValueError("give each head as NAME=FILE.safetensors")
        if not (NAME.fullmatch(name) and name.isidentifier()):
            raise ValueError(f"{name!r} is no name: 1 to 100 letters, digits and _, no digit first")
        if name == EMBEDDINGS or name in found:
            raise ValueError(f"the name {name} is taken")
        found[name] = os.path.abspath(file)  # noqa: PTH100
    return tuple(found.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedEngineOptions(EngineOptions):
    """``adapter``: (name, path) of each head."""

    adapter: tuple[tuple[str, str], ...] = option(
        (),
        metavar="NAME=FILE[,NAME=FILE...]",
        help="Projection heads in safetensors files, applied to the pooled vectors; each writes "
        "shards of its own name.",
        parse=parse_adapters,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions(EmbedEngineOptions):
    """``batch_size``: windows; 0: chosen for the device."""

    model: str = ""
    device: str = "auto"
    batch_size: int = 0
    layer: int | None = option(
        None,
        minimum=1,
        metavar="N",
        help="Layer whose output is pooled, counted from 1. Default: the model's own output, "
        "which is the last layer with the normalisation after it.",
    )
    pool: str = option(
        "mean",
        choices=POOLINGS,
        help="How the frames of an utterance become one vector: their mean or their largest "
        "values, without padding; or cls, the class token of a model that has one (AST).",
    )
    compute_type: str = option(
        "float32",
        metavar="TYPE",
        help="Precision of the model: float32, float16 or bfloat16.",
    )
