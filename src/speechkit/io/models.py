"""Where a model's files are: a local folder, the hub's cache, or the hub."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from speechkit.errors import EngineMissing


def locate(name: str, hub: str, weights: Sequence[str], *, offline: bool) -> Path:
    """The folder of a model given as a folder, a hub id or a short name (``hub`` with it in), or
    its file, where models are single files.

    What the cache has not is downloaded once, here, unless ``offline`` or HF_HUB_OFFLINE forbids
    it. Raises `EngineMissing` with the command that fetches it.
    """
    path = Path(name).expanduser()
    is_weights = len(weights) == 1 and path.match(weights[0])
    if path.is_dir() or (path.is_file() and is_weights):
        return path.resolve()
    if path.is_absolute() or is_weights or name.startswith((".", "~")) or name.count("/") > 1:
        raise EngineMissing(f"--model {name}: no such folder" + " or file" * is_weights)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository = name if "/" in name else hub.format(name)
    fetch = f"hf download {repository} " + " ".join(f"--include '{one}'" for one in weights)
    local = offline or os.environ.get("HF_HUB_OFFLINE", "") in ("1", "ON", "YES", "TRUE")
    try:
        found = snapshot_download(repository, allow_patterns=list(weights), local_files_only=local)
    except HFValidationError as e:
        raise EngineMissing(f"--model {name}: neither a folder nor a name on the hub") from e
    except Exception as e:  # the hub's client raises whatever its transport does
        why = "and --offline forbids to fetch it" if local else f"and it can't be fetched ({e!r})"
        raise EngineMissing(
            f"--model {name}: {repository} is not in the cache, {why}; where there is a network, "
            f"run: {fetch}"
        ) from e
    return Path(found)


def size(folder: Path) -> int:
    """Bytes of the largest weights file kind in a model's folder, or of its one file."""
    if folder.is_file():
        return folder.stat().st_size
    kinds = ("*.safetensors", "*.bin", "*.nemo", "*.ckpt")
    return max(sum(file.stat().st_size for file in folder.glob(kind)) for kind in kinds)
