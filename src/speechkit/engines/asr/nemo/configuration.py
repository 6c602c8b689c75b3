"""A NeMo model's configuration, read and checked before NeMo sees it.

NeMo instantiates the classes that a configuration names. Its own list of permitted classes is wide:
one of its tokenizers imports code from beside the weights. The lists here hold the classes of which
models for speech recognition consist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from speechkit.errors import EngineMissing
from speechkit.io import yaml_files

NAME = "model_config.yaml"
MOST_BYTES = 16 << 20  # a vocabulary of 16,000, four times over, is 2 MiB
#: Read only in training, so dropped instead of checked. Profiles create folders.
OF_TRAINING = (
    *("optim", "trainer", "exp_manager"),
    *("nsys_profile", "memory_profile", "chakra_profile"),
)
#: Names of classes by their package; the module within it doesn't matter.
MODELS = {
    "nemo.collections.asr.models": (
        *("EncDecCTCModel", "EncDecCTCModelBPE", "EncDecRNNTModel", "EncDecRNNTBPEModel"),
        *("EncDecRNNTBPEModelWithPrompt", "EncDecHybridRNNTCTCModel"),
        *("EncDecHybridRNNTCTCBPEModel", "EncDecHybridRNNTCTCBPEModelWithPrompt"),
        *("EncDecRNNTBPEEOUModel", "EncDecHybridRNNTCTCBPEEOUModel", "EncDecMultiTaskModel"),
    )
}
PARTS = {
    "nemo.collections.asr.modules": (
        *("AudioToMelSpectrogramPreprocessor", "AudioToMFCCPreprocessor"),
        *("SpectrogramAugmentation", "MaskedPatchAugmentation", "CropOrPadSpectrogramAugmentation"),
        *("ConvASREncoder", "ConvASREncoderAdapter", "ParallelConvASREncoder"),
        *("ConformerEncoder", "ConformerEncoderAdapter", "SqueezeformerEncoder"),
        *("SqueezeformerEncoderAdapter", "RNNEncoder", "ConvASRDecoder", "LSTMDecoder"),
        *("RNNTDecoder", "StatelessTransducerDecoder", "RNNTJoint", "SampledRNNTJoint", "HATJoint"),
        *("TransformerEncoder", "TransformerDecoder", "get_nemo_transformer"),
    ),
    "nemo.collections.asr.parts.submodules": (
        *("TokenClassifier", "LinearAdapter", "RelPositionMultiHeadAttentionAdapter"),
        *("MultiHeadAttentionAdapter", "PositionalEncodingAdapter"),
        *("RelPositionalEncodingAdapter", "MHAResidualAddAdapterStrategy"),
    ),
    "nemo.collections.common.parts": ("LinearAdapter", "MultiLayerPerceptron"),
    "nemo.core.classes.mixins.adapter_mixin_strategies": (
        *("ResidualAddAdapterStrategy", "ReturnResultAdapterStrategy"),
    ),
    "nemo.collections.common.tokenizers": (
        *("SentencePieceTokenizer", "AggregateTokenizer", "CanaryTokenizer", "CanaryBPETokenizer"),
    ),
    "nemo.collections.asr.losses": ("CTCLoss", "RNNTLoss"),
    "nemo.collections.common.losses": ("SmoothedCrossEntropyLoss", "NLLLoss", "CrossEntropyLoss"),
    "nemo.collections.asr.metrics": ("WER", "BLEU", "MultiTaskMetric"),
}
CLASS_KEYS = ("_target_", "cls", "target")  # of hydra today and before 1.0
FILE_KEY = re.compile(r"(path|file|model|dir)$")  # of a language model, in how a model decodes


def read(folder: Path) -> dict[str, Any]:
    """The configuration of a model's folder in plain containers, without the keys of training.

    Other configurations in the folder are checked, too: NeMo builds Canary's aligner from one.
    Raise `EngineMissing` with the reason for one that names code or files elsewhere, or is too
    large.
    """
    checked = {path.name: _checked(path) for path in sorted(folder.glob("*.yaml"))}
    if NAME not in checked:
        raise EngineMissing(f"no {NAME} in it")
    return checked[NAME]


def _checked(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES >> 20} MiB")
        config = yaml_files.resolved(yaml_files.load(text.decode()))
        config = config.get("model", config)  # as NeMo does
        for place, key, value in _settings(config):
            _require_no_code(place, key, value)
        config = {key: value for key, value in config.items() if key not in OF_TRAINING}
        _require_kind("target", config.get("target"), MODELS)
        for place, key, value in _settings({**config, "target": None}):
            _require_own(place, key, value)
        _require_tokenizers(config.get("tokenizer") or {})
    except (OSError, AttributeError, YAMLError, OmegaConfBaseException) as e:
        raise EngineMissing(f"{path.name}: no configuration of a model: {e}") from e
    except ValueError as e:
        raise EngineMissing(f"{path.name}: {e}") from e
    return config


def _settings(node: Any, place: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each value of nested mappings and lists, with its place (``encoder.d_model``) and key."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        inner = f"{place}.{key}" if place else str(key)
        yield inner, str(key), value
        if isinstance(value, dict | list):
            yield from _settings(value, inner)


def _require_no_code(place: str, key: str, value: Any) -> None:
    if key == "trust_remote_code" and value not in (None, False):
        raise ValueError(
            f"refused, {place} is {value!r}: no code that comes with a model is ever run"
        )
    if isinstance(value, str) and "${" in value:
        raise ValueError(f"refused, {place} asks {value!r:.80} of this machine")


def _require_own(place: str, key: str, value: Any) -> None:
    if key in CLASS_KEYS and value is not None:
        _require_kind(place, value, PARTS)
    decodes = "decoding" in place.split(".")
    if decodes and FILE_KEY.search(key) and isinstance(value, str) and value:
        raise ValueError(f"refused, {place} names a file beside the model, {value!r:.80}")


def _require_kind(place: str, target: Any, kinds: Mapping[str, tuple[str, ...]]) -> None:
    package, _, name = str(target).rpartition(".")
    for known, names in kinds.items():
        if name in names and f"{package}.".startswith(f"{known}."):
            return
    raise ValueError(
        f"refused, {place} is {str(target)!r:.120}, which is no part of a model for transcribing"
    )


def _require_tokenizers(tokenizer: dict[str, Any]) -> None:
    for config in (tokenizer, *(tokenizer.get("langs") or {}).values()):
        if str(config.get("type")).lower() == "wpe":
            raise ValueError(
                "refused, its tokenizer is of the type wpe, which NeMo makes of a model of the hub"
            )
