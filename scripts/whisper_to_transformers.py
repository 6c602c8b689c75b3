#!/usr/bin/env python3
"""Whisper in CTranslate2's layout as a folder of transformers: the same numbers, in float32.

    scripts/whisper_to_transformers.py MODEL NEW

MODEL holds model.bin, config.json and tokenizer.json.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

VERSION = 6  # of the binary format
TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
FIRST_TIMESTAMP = 50  # positions of 20 ms: no first segment begins later, says OpenAI
#: What is stated beside the weights, and is so of every Whisper; activation 3 is GELU.
STATED = {
    "decoder/activation": 3,
    "decoder/alibi": 0,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
#: A layer's name here, and there; of those that lie above one another in one matrix, all names.
LAYERS = {
    "conv1": ["conv1"],
    "conv2": ["conv2"],
    "embeddings": ["embed_tokens"],
    "position_encodings": ["embed_positions"],
    "projection": ["proj_out"],
    "layer_norm": ["layer_norm"],
    "self_attention/layer_norm": ["self_attn_layer_norm"],
    "self_attention/linear_0": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "self_attention/linear_1": ["self_attn.out_proj"],
    "attention/layer_norm": ["encoder_attn_layer_norm"],
    "attention/linear_0": ["encoder_attn.q_proj"],
    "attention/linear_1": ["encoder_attn.k_proj", "encoder_attn.v_proj"],
    "attention/linear_2": ["encoder_attn.out_proj"],
    "ffn/layer_norm": ["final_layer_norm"],
    "ffn/linear_0": ["fc1"],
    "ffn/linear_1": ["fc2"],
}
KINDS = {"gamma": "weight", "beta": "bias", "encodings": "weight"}

Variables = dict[str, NDArray[Any]]


def convert(model: Path, folder: Path) -> None:
    """Raises where a weight is missing or left over, or the model is no Whisper."""
    variables = read(model / "model.bin")
    told = json.loads((model / "config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    weights = {name: torch.from_numpy(value) for name, value in renamed(variables)}
    made = WhisperForConditionalGeneration(geometry(variables, tokenizer))
    made.load_state_dict(weights, strict=True)
    made.generation_config = generation(told, tokenizer)
    made.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=made.config.num_mel_bins).save_pretrained(folder)
    shutil.copy(model / "tokenizer.json", folder)
    write_vocabulary(folder)


def read(path: Path) -> Variables:
    """Little-endian: version, name, revision; the variables, each a name, a shape, a type and its
    numbers; the aliases, which are other names of variables with the same numbers."""
    with open(path, "rb") as file:

        def number(kind: str) -> int:
            return int(struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0])

        def text() -> str:
            return file.read(number("H")).rstrip(b"\0").decode()

        opening = number("I"), text()
        if opening != (VERSION, "WhisperSpec"):
            raise ValueError(f"{path}: {opening}, not a Whisper in version {VERSION} of the format")
        number("I")  # the revision of the specification
        found = {}
        for _ in range(number("I")):
            name, shape = text(), [number("I") for _ in range(number("B"))]
            kind = TYPES[number("B")]
            found[name] = np.frombuffer(file.read(number("I")), kind).reshape(shape)
        for _ in range(number("I")):
            alias, name = text(), text()
            found[alias] = found[name]
        return found


def renamed(variables: Variables) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, value in variables.items():
        if value.ndim == 0:
            if STATED.get(name, value) != value:
                raise ValueError(f"{name} is {value}, which is no Whisper")
            continue
        side, _, inner = name.partition("/")
        index, layer, kind = re.fullmatch(r"(?:layer_(\d+)/)?(.+)/(\w+)", inner).groups()
        place = f"model.{side}.layers.{index}." if index else f"model.{side}."
        place = "" if layer == "projection" else place
        parts = LAYERS[layer]
        for part, rows in zip(parts, np.split(value.astype(np.float32), len(parts)), strict=True):
            if part.endswith("k_proj") and kind == "bias":
                if rows.any():
                    raise ValueError(f"{name}: keys have a bias, which is no Whisper")
                continue
            yield f"{place}{part}.{KINDS.get(kind, kind)}", rows


def geometry(variables: Variables, tokenizer: Tokenizer) -> WhisperConfig:
    vocabulary, width = variables["decoder/embeddings/weight"].shape
    sizes: dict[str, int] = {}
    for side in ("encoder", "decoder"):
        numbers = [re.match(rf"{side}/layer_(\d+)/", name) for name in variables]
        sizes[f"{side}_layers"] = 1 + max(int(found[1]) for found in numbers if found)
        sizes[f"{side}_attention_heads"] = int(variables[f"{side}/num_heads"])
        sizes[f"{side}_ffn_dim"] = len(variables[f"{side}/layer_0/ffn/linear_0/bias"])
    return WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        max_source_positions=len(variables["encoder/position_encodings/encodings"]),
        max_target_positions=len(variables["decoder/position_encodings/encodings"]),
        decoder_start_token_id=tokenizer.token_to_id("<|startoftranscript|>"),
        **ends(tokenizer),
        **sizes,
    )


def ends(tokenizer: Tokenizer) -> dict[str, int]:
    end = tokenizer.token_to_id("<|endoftext|>")
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}


def generation(told: dict[str, Any], tokenizer: Tokenizer) -> GenerationConfig:
    """As OpenAI's, of what CTranslate2 keeps of it. English-only vocabularies begin their special
    tokens one earlier."""
    ids = tokenizer.token_to_id
    multilingual = {
        "lang_to_id": {tokenizer.id_to_token(number): number for number in told["lang_ids"]},
        "task_to_id": {task: ids(f"<|{task}|>") for task in ("transcribe", "translate")},
    }
    is_multilingual = ids("<|endoftext|>") != 50256
    return GenerationConfig(
        alignment_heads=told["alignment_heads"],
        suppress_tokens=told["suppress_ids"],
        begin_suppress_tokens=told["suppress_ids_begin"],
        decoder_start_token_id=ids("<|startoftranscript|>"),
        no_timestamps_token_id=ids("<|notimestamps|>"),
        prev_sot_token_id=ids("<|startofprev|>"),
        max_initial_timestamp_index=FIRST_TIMESTAMP,
        max_length=448,
        return_timestamps=False,
        is_multilingual=is_multilingual,
        **ends(tokenizer),
        **(multilingual if is_multilingual else {}),
    )


def write_vocabulary(folder: Path) -> None:
    """vocab.json and merges.txt, which transformers 5 reads beside tokenizer.json."""
    bpe = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    vocabulary = json.dumps(bpe["vocab"], ensure_ascii=False)
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in bpe["merges"])
    lines = "".join(f"{pair}\n" for pair in merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    convert(options.model, options.new)


if __name__ == "__main__":
    main()
