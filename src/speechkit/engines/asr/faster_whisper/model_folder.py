"""A Whisper in CTranslate2's layout: its files, and what they state."""

from __future__ import annotations

import json
from pathlib import Path

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
        with open(path, "rb") as file:
            number = int(json.loads(file.read(MOST_BYTES)).get(key) or otherwise)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as e:
        raise EngineMissing(f"{path}: not a configuration in JSON: {e}") from e
    if not 0 < number <= MOST_STATED:
        raise EngineMissing(f"{path}: {key} is {number}, and {MOST_STATED} at most is known")
    return number
