"""Loads an audio encoder from a folder of transformers' layout, with the layers that are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from speechkit.engines.encoders.features import require_layer
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.torch.transformers_folder import own, own_alone
from speechkit.errors import EngineMissing

UNUSED = {"masked_spec_embed"}  # of pre-training alone


def kind(folder: Path) -> str:
    """The kind of model that its configuration states. Raise `EngineMissing` where it has none."""
    if not (folder / "config.json").is_file():
        raise EngineMissing(f"--model {folder}: holds no config.json; name a model's folder")
    return str(own(folder / "config.json").get("model_type", "unknown"))


def load(
    folder: Path, layer: int | None, kinds: Sequence[str], model: Any = AutoModel, **given: Any
) -> Any:
    """The model, up to ``layer``; None: all of it. ``given``: further arguments of transformers.

    Raise `EngineMissing` for another kind of model, or for weights that are not all there.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with own_alone(folder):
        config: Any = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if config.model_type not in kinds:
            raise EngineMissing(
                f"--model {folder}: a model of the kind {config.model_type!r}; there are "
                f"{', '.join(kinds)}"
            )
        if layer is not None:
            require_layer(layer, config.num_hidden_layers, folder)
            config.num_hidden_layers = layer
        config.add_adapter = False  # whose convolutions follow the last layer
        loaded, loading = model.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            **given,
        )
    missing = sorted(set(loading["missing_keys"]) - UNUSED)
    if missing:
        raise EngineMissing(f"--model {folder}: {len(missing)} weights lack, such as {missing[0]}")
    return loaded


def preprocessor(folder: Path) -> dict[str, Any]:
    """What the folder says about the model's features; {} where it is silent. Raise
    `EngineMissing` for another sample rate than 16 kHz."""
    path = folder / "preprocessor_config.json"
    settings = own(path) if path.is_file() else {}
    rate = settings.get("sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise EngineMissing(f"{path}: sampling_rate is {rate}, and not {SAMPLE_RATE}")
    return settings
