"""A folder of transformers' layout, checked before it is read: it can name code to be imported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from speechkit.compat import fairseq_checkpoint
from speechkit.errors import EngineMissing, SpeechkitError

MOST_BYTES = 16 << 20  # of a configuration
#: Keys that import code, from the folder or from the hub, or that read another model.
FOREIGN = (
    *("auto_map", "custom_generate", "custom_pipelines", "trust_remote_code"),
    "base_model_name_or_path",
)


@contextmanager
def own_alone(folder: Path) -> Iterator[None]:
    """A context in which transformers may load the folder: it runs no code and names nothing else.

    Raise `EngineMissing` where a configuration names code or other models, and for any error of
    loading.
    """
    for path in sorted(folder.glob("*config.json")):
        own(path)
    try:
        yield
    except (SpeechkitError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as e:  # a broken file can raise anything
        raise EngineMissing(
            f"--model {folder}: {fairseq_checkpoint.reason(e, 'no model of transformers')}"
        ) from e


def own(path: Path) -> dict[str, Any]:
    """A configuration. Raise `EngineMissing` where it names code or other models."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES >> 20} MiB")
        settings = json.loads(text)
        if not isinstance(settings, dict):
            raise ValueError("no object")
        foreign = next(_foreign(settings), None)
    except (OSError, ValueError, TypeError, RecursionError) as e:
        raise EngineMissing(f"{path}: not a configuration in JSON: {e}") from e
    if foreign:
        raise EngineMissing(
            f"{path}: refused, it says {foreign}: no code that comes with a model is ever run, and "
            "no other model is read"
        )
    return settings


def _foreign(node: Any) -> Iterator[str]:
    """Settings that refer to something outside the folder, as ``key: value``."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        kernel = str(key).endswith("attn_implementation") and "/" in str(value)
        if kernel or (key in FOREIGN and value):
            yield f"{key}: {json.dumps(value)[:80]}"
        if isinstance(value, dict | list):
            yield from _foreign(value)
