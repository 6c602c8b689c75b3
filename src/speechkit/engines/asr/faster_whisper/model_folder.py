"""A Whisper in CTranslate2's layout: its files, and what they state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speechkit.engines.asr.whisper import context
from speechkit.errors import EngineMissing

MOST_STATED = 3000  # seconds or tokens that a configuration may state
MOST_BYTES = 16 << 20  # of a configuration


def require_files(folder: Path) -> None:
    missing = [name for name in ("model.bin", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise EngineMissing(
            f"{folder}: no {' and no '.join(missing)} in it; faster-whisper needs a model in "
            "CTranslate2's layout, made of a Hugging Face one by: ct2-transformers-converter "
            "--model FOLDER --output_dir NEW "
            "--copy_files tokenizer.json preprocessor_config.json"
        )


def stated(path: Path, key: str, otherwise: int) -> int:
    """The number at a key of a model's JSON file; ``otherwise`` where the key or file is absent."""
    if not path.is_file():
        return otherwise
    try:
        number = int(_settings(path).get(key) or otherwise)
    except (ValueError, TypeError) as e:
        raise EngineMissing(f"{path}: not a configuration in JSON: {e}") from e
    if not 0 < number <= MOST_STATED:
        raise EngineMissing(f"{path}: {key} is {number}, and {MOST_STATED} at most is known")
    return number


def stated_context(path: Path, longest: float) -> float:
    """The `context` in a config.json, 0 where there is none."""
    if not path.is_file():
        return 0.0
    try:
        return context.stated(_settings(path), longest)
    except ValueError as e:
        raise EngineMissing(f"{path}: {e}") from e


def _settings(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            settings = json.loads(file.read(MOST_BYTES))
        if not isinstance(settings, dict):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError) as e:
        raise EngineMissing(f"{path}: not a configuration in JSON: {e}") from e
    return settings
