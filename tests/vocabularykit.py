"""Whisper base's own vocabulary, from its data package: needs neither torch nor transformers."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from speechkit.engines.model_catalogue import BASE


def tokenizer_file() -> Path:
    if not BASE.is_installed():
        pytest.skip(f"needs {BASE.install}", allow_module_level=True)
    ((distribution, path),) = BASE.files["tokenizer.json"].parts
    return Path(str(metadata.distribution(distribution).locate_file(path)))


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(tokenizer_file()))
