"""A Whisper's folder: the model in training that it becomes, and the folder of a trained model.

An encoder can hear less than its 30 s at once: its positions are sinusoids that are never trained,
and the first of them are all that a shorter window needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import WhisperConfig, WhisperForConditionalGeneration

from speechkit.engines.asr.whisper import checkpoint
from speechkit.engines.asr.whisper.checkpoint import ENCODER_POSITIONS, OUTPUT
from speechkit.engines.asr.whisper.context import KEY, POSITIONS
from speechkit.engines.finetune.whisper import tensor_files
from speechkit.engines.torch import transformers_folder
from speechkit.errors import EngineMissing, UsageError

#: What a trained model has from its base, beside config.json.
UNCHANGED = (
    *("generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "normalizer.json"),
)
PRECISIONS = ("dtype", "torch_dtype")  # keys of config.json


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """What a trained model has from the folder that it was loaded from.

    ``files``: contents by name. ``table``: the positions of the whole encoder. ``start``: the token
    that opens a transcript.
    """

    config: Mapping[str, Any]
    files: Mapping[str, bytes]
    table: Tensor
    start: int


def load(folder: Path, context: float) -> tuple[WhisperForConditionalGeneration, Base]:
    """The model in float32 on the CPU, whose encoder hears ``context`` seconds, and its base.

    Raise `EngineMissing` where the folder holds no Whisper that `asr` would load as well, and
    `UsageError` for a context beyond what the encoder has positions for.
    """
    loaded = checkpoint.load(folder, torch.device("cpu"), torch.float32)
    positions, most = round(context * POSITIONS), loaded.config.max_source_positions
    if not 0 < positions <= most:
        raise UsageError(
            f"--context {context:g}: the encoder of {folder} hears {most / POSITIONS:g} s at once"
        )
    base = Base(
        config=transformers_folder.own(folder / "config.json"),
        files=_files(folder),
        table=loaded.weights[ENCODER_POSITIONS],
        start=_start(folder, loaded),
    )
    settings = {**base.config, "max_source_positions": positions}
    with transformers_folder.own_alone(folder):
        return _model(WhisperConfig.from_dict(settings), loaded.shortened(positions)), base


def _start(folder: Path, loaded: checkpoint.Checkpoint) -> int:
    token = loaded.tokenizer.token_to_id("<|startoftranscript|>")
    if token is None:
        raise EngineMissing(f"{folder / 'tokenizer.json'}: it has no <|startoftranscript|>")
    return int(token)


def _files(folder: Path) -> dict[str, bytes]:
    try:
        return {
            name: (folder / name).read_bytes() for name in UNCHANGED if (folder / name).is_file()
        }
    except OSError as e:
        raise EngineMissing(f"--model {folder}: can't be read: {e}") from e


def _model(config: WhisperConfig, loaded: checkpoint.Checkpoint) -> WhisperForConditionalGeneration:
    with torch.device("meta"):  # nothing is drawn at random for weights that are there
        model = WhisperForConditionalGeneration._from_config(
            config, attn_implementation="sdpa", dtype=torch.float32
        )
    weights = {name: tensor.clone() for name, tensor in loaded.weights.items()}
    model.load_state_dict(weights, strict=True, assign=True)
    model.tie_weights()
    return model


def save(folder: Path, weights: Mapping[str, Tensor], base: Base) -> None:
    """Write a model that transformers, `asr` and a later training load. Raise as
    `tensor_files.write`.

    ``weights``: by name, with the encoder's positions of its context alone; where they are fewer
    than in the base, config.json says how many seconds they are for, in ``encoder_context``.
    """
    positions, most = len(weights[ENCODER_POSITIONS]), len(base.table)
    config = {key: value for key, value in base.config.items() if key not in PRECISIONS}
    config |= {"dtype": "float32"}
    config.pop(KEY, None)
    if positions < most:
        config[KEY] = positions / POSITIONS
    tensors = {**weights, ENCODER_POSITIONS: base.table}
    if config.get("tie_word_embeddings", True):
        del tensors[OUTPUT]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in base.files.items():
        (folder / name).write_bytes(content)
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    tensor_files.write(folder / "model.safetensors", tensors)
