"""Which layer of an encoder features are taken from."""

from __future__ import annotations

from pathlib import Path

from speechkit.errors import UsageError


def require_layer(layer: int, layers: int, model: Path) -> None:
    """Raises `UsageError` for a layer that is not there; fairseq would silently take the last."""
    if not 1 <= layer <= layers:
        raise UsageError(f"--layer {layer}: {model.name} has the layers 1 to {layers}")
