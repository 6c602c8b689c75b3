"""A trained Whisper in CTranslate2's layout, for faster-whisper."""

from __future__ import annotations

import json
from pathlib import Path

from ctranslate2.converters import TransformersConverter
from transformers.utils import logging as transformers_logging

from speechkit.engines.asr.whisper.context import KEY
from speechkit.engines.torch.transformers_folder import own, own_alone

BESIDE = ("tokenizer.json", "preprocessor_config.json", "generation_config.json")


def export(model: Path, folder: Path) -> None:
    """Write the model to a new folder, its numbers unchanged. Raise `EngineMissing`."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    beside = [name for name in BESIDE if (model / name).is_file()]
    with own_alone(model):
        TransformersConverter(str(model), copy_files=beside).convert(str(folder))
    context = own(model / "config.json").get(KEY)
    if context is not None:
        path = folder / "config.json"
        settings = json.loads(path.read_bytes()) | {KEY: context}
        path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
