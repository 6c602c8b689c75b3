"""A Whisper in a folder of transformers' layout: its configurations, vocabulary and weights.

Everything is checked before it is used, and nothing in the folder is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from speechkit.compat import fairseq_checkpoint
from speechkit.engines.asr.whisper import context
from speechkit.engines.asr.whisper.blocks import Weights
from speechkit.engines.asr.whisper.vocabulary import is_multilingual
from speechkit.engines.encoders import log_mel
from speechkit.engines.torch import transformers_folder
from speechkit.errors import EngineMissing, SpeechkitError

FIRST_TIMESTAMP = 50  # of 20 ms; no first segment begins later, if the checkpoint is silent
ENCODER_POSITIONS = "model.encoder.embed_positions.weight"
MOST_LAYERS, MOST_SIZE = 256, 1 << 20  # that a configuration may state
OUTPUT, EMBEDDING = "proj_out.weight", "model.decoder.embed_tokens.weight"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there, whole or in parts
SHOWN = 3  # names in an error


@dataclass(frozen=True, slots=True)
class WhisperConfig:
    """The sizes of a model, by their names in config.json."""

    d_model: int
    num_mel_bins: int
    vocab_size: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    decoder_layers: int
    decoder_attention_heads: int
    decoder_ffn_dim: int
    max_source_positions: int
    max_target_positions: int


@dataclass(frozen=True, slots=True)
class Generation:
    """The rules of decoding, by their names in generation_config.json."""

    suppress_tokens: tuple[int, ...]
    begin_suppress_tokens: tuple[int, ...]
    max_initial_timestamp_index: int
    alignment_heads: tuple[tuple[int, int], ...]  # layer and head, of the decoder
    is_multilingual: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``context``: seconds of the windows that a fine-tune has learnt, or 0."""

    config: WhisperConfig
    context: float
    generation: Generation
    tokenizer: Tokenizer
    weights: Weights

    def shortened(self, positions: int) -> Checkpoint:
        """With an encoder of no more ``positions``, which hears so much less at once."""
        kept = min(positions, self.config.max_source_positions)
        table = {ENCODER_POSITIONS: self.weights[ENCODER_POSITIONS][:kept]}
        config = replace(self.config, max_source_positions=kept)
        return replace(self, config=config, weights=self.weights | table)


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """The checkpoint, its weights on the device. Raise `EngineMissing` where it is no Whisper."""
    settings = {path.name: transformers_folder.own(path) for path in folder.glob("*config.json")}
    if settings.get("config.json", {}).get("model_type") != "whisper":
        raise EngineMissing(f"--model {folder}: no config.json of a Whisper in it")
    with _sentences(folder / "config.json"):
        config = _config(settings["config.json"])
        longest = config.max_source_positions / context.POSITIONS
        learnt = context.stated(settings["config.json"], longest)
    with _sentences(folder / "preprocessor_config.json"):
        _require_features(settings.get("preprocessor_config.json", {}), config)
    if not (folder / "tokenizer.json").is_file():
        raise EngineMissing(
            f"--model {folder}: no tokenizer.json in it; copy that of the checkpoint from which "
            "it was trained"
        )
    with _sentences(folder / "tokenizer.json"):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        if (tokenizer.token_to_id("<|notimestamps|>") or 0) + 1 >= config.vocab_size:
            raise ValueError(f"it has more tokens than the {config.vocab_size} of config.json")
    rules = "generation_config.json" if "generation_config.json" in settings else "config.json"
    with _sentences(folder / rules):
        generation = _generation(settings[rules], config, tokenizer)
    weights = _weights(folder, config, device, dtype)
    return Checkpoint(config, learnt, generation, tokenizer, weights)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """A context in which any error is one sentence that names the file."""
    try:
        yield
    except (SpeechkitError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as e:  # a broken file can raise anything
        problem = fairseq_checkpoint.reason(e, "not as a Whisper has it")
        raise EngineMissing(f"{path}: {problem}") from e


def _config(settings: Mapping[str, Any]) -> WhisperConfig:
    if settings.get("activation_function", "gelu") != "gelu":
        raise ValueError(f"activation_function is {settings['activation_function']}, and not gelu")
    sizes = {one.name: settings.get(one.name) for one in fields(WhisperConfig)}
    for name, size in sizes.items():
        most = MOST_LAYERS if name.endswith("_layers") else MOST_SIZE
        if type(size) is not int or not 0 < size <= most:
            raise ValueError(f"{name} is {size}, and not a number from 1 to {most}")
    config = WhisperConfig(**sizes)  # type: ignore[arg-type]
    for name in ("encoder_attention_heads", "decoder_attention_heads"):
        if config.d_model % getattr(config, name):
            raise ValueError(f"{name} is {getattr(config, name)}, no divisor of {config.d_model}")
    return config


def _generation(
    settings: Mapping[str, Any], config: WhisperConfig, tokenizer: Tokenizer
) -> Generation:
    first = settings.get("max_initial_timestamp_index")
    if first is None:
        first = FIRST_TIMESTAMP
    _require_below("max_initial_timestamp_index", (first,), MOST_SIZE)
    tokens = {
        name: tuple(settings.get(name) or ())
        for name in ("suppress_tokens", "begin_suppress_tokens")
    }
    for name, suppressed in tokens.items():
        _require_below(name, suppressed, config.vocab_size)
    multilingual = settings.get("is_multilingual")
    return Generation(
        **tokens,
        max_initial_timestamp_index=first,
        alignment_heads=_alignment_heads(settings, config),
        is_multilingual=is_multilingual(tokenizer) if multilingual is None else bool(multilingual),
    )


def _alignment_heads(
    settings: Mapping[str, Any], config: WhisperConfig
) -> tuple[tuple[int, int], ...]:
    """The layers and heads that are stated; where none is, all heads of the upper half.

    A distilled decoder can come with those of its parent, whose layers it doesn't have.
    """
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    stated = dict.fromkeys(map(tuple, settings.get("alignment_heads") or ()))
    for pair in stated:
        _require_below("alignment_heads", pair, MOST_SIZE)
    there = [(layer, head) for layer, head in stated if layer < layers and head < heads]
    upper = [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
    return tuple(there or upper)


def _require_below(name: str, numbers: tuple[int, ...], end: int) -> None:
    for number in numbers:
        if type(number) is not int or not 0 <= number < end:
            raise ValueError(f"{name} has {number}, and not a number below {end}")


def _require_features(settings: Mapping[str, Any], config: WhisperConfig) -> None:
    known = {**log_mel.SETTINGS, "feature_size": config.num_mel_bins}
    for name, value in known.items():
        if settings.get(name, value) != value:
            raise ValueError(f"{name} is {settings[name]}, and not {value}")


def _weights(
    folder: Path, config: WhisperConfig, device: torch.device, dtype: torch.dtype
) -> Weights:
    """All weights and no others, in their shapes; those of the output may be the embedding's."""
    shapes = dict(_shapes(config))
    weights: Weights = {}
    wrong = []
    for path in _files(folder):
        with _sentences(path):
            for name, tensor in _tensors(path, device):
                if tensor.shape != shapes.get(name) or not tensor.is_floating_point():
                    wrong.append(name)
                else:
                    weights[name] = tensor.to(device, dtype)
    output = weights.get(OUTPUT)
    if EMBEDDING in weights and (output is None or torch.equal(output, weights[EMBEDDING])):
        weights[OUTPUT] = weights[EMBEDDING]
    missing = sorted(shapes.keys() - weights.keys() - set(wrong))
    for names, problem in ((wrong, "don't fit its config.json"), (missing, "are missing")):
        if names:
            shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            raise EngineMissing(f"--model {folder}: weights {problem}: {shown}")
    return weights


def _files(folder: Path) -> list[Path]:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            with _sentences(index):
                names = sorted(set(transformers_folder.own(index)["weight_map"].values()))
                if any(Path(one).name != one for one in names):
                    raise ValueError("it names files outside the folder")
            return [folder / one for one in names]
    raise EngineMissing(f"--model {folder}: no {' and no '.join(WEIGHTS)} in it")


def _tensors(path: Path, device: torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt", device=str(device)) as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield name, file.get_tensor(name)
    else:
        yield from torch.load(path, map_location="cpu", weights_only=True).items()


def _shapes(config: WhisperConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = config.d_model
    for name, channels in (("conv1", config.num_mel_bins), ("conv2", width)):
        yield f"model.encoder.{name}.weight", (width, channels, 3)
        yield f"model.encoder.{name}.bias", (width,)
    yield ENCODER_POSITIONS, (config.max_source_positions, width)
    yield "model.decoder.embed_positions.weight", (config.max_target_positions, width)
    yield EMBEDDING, (config.vocab_size, width)
    yield OUTPUT, (config.vocab_size, width)
    sides = (
        ("encoder", config.encoder_layers, config.encoder_ffn_dim, ("self_attn",)),
        ("decoder", config.decoder_layers, config.decoder_ffn_dim, ("self_attn", "encoder_attn")),
    )
    for side, layers, wide, attentions in sides:
        yield from _norm(f"model.{side}.layer_norm", width)
        for index in range(layers):
            place = f"model.{side}.layers.{index}"
            for attention in attentions:
                yield from _norm(f"{place}.{attention}_layer_norm", width)
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    yield f"{place}.{attention}.{part}.weight", (width, width)
                    if part != "k_proj":
                        yield f"{place}.{attention}.{part}.bias", (width,)
            yield from _norm(f"{place}.final_layer_norm", width)
            for part, shape in (("fc1", (wide, width)), ("fc2", (width, wide))):
                yield f"{place}.{part}.weight", shape
                yield f"{place}.{part}.bias", shape[:1]


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
