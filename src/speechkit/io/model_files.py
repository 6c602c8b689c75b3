"""Locates a model's files: in a local folder, in the hub's cache, or on the hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from speechkit.errors import EngineMissing
from speechkit.io.atomic import output_errors
from speechkit.io.shared_folder import create_once, user_folder


def local(name: str, weights: Sequence[str]) -> Path | None:
    """The local folder of this name, or the file, where models are single files.

    None for a name to be looked for elsewhere. Raise `EngineMissing` for a path that does not
    exist.
    """
    path = Path(name).expanduser()
    is_weights = len(weights) == 1 and path.match(weights[0])
    if path.is_dir() or (path.is_file() and is_weights):
        return path.resolve()
    if path.is_absolute() or is_weights or name.startswith((".", "~")) or name.count("/") > 1:
        raise EngineMissing("no such folder" + " or file" * is_weights)
    return None


def cached(repository: str, weights: Sequence[str]) -> Path | None:
    """A model's folder in the hub's cache; None where it isn't there or is incomplete.

    Raise `EngineMissing` for a string that can't be a name on the hub.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(repository, allow_patterns=list(weights), local_files_only=True)
        )
    except HFValidationError as e:
        raise EngineMissing(f"{repository!r} is neither a folder nor a name on the hub") from e
    except LocalEntryNotFoundError:
        return None
    return folder if _is_whole(folder, weights) else None


def from_hub(repository: str, weights: Sequence[str], way_out: str, *, offline: bool) -> Path:
    """A model's folder in the hub's cache, downloaded where it isn't there.

    ``offline`` or HF_HUB_OFFLINE forbids the download. Raise `EngineMissing` with the reason and
    the ``way_out``.
    """
    if folder := cached(repository, weights):
        return folder
    from huggingface_hub import snapshot_download

    if offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise EngineMissing(
            f"{repository} is not in the cache, and --offline or HF_HUB_OFFLINE forbids to fetch "
            f"it; {way_out}"
        )
    try:
        return Path(snapshot_download(repository, allow_patterns=list(weights)))
    except Exception as e:  # the hub's client raises whatever its transport does
        why = (str(e) or type(e).__name__).strip().partition("\n")[0]
        raise EngineMissing(
            f"{repository} is not in the cache, and it can't be fetched ({why}); {way_out}"
        ) from e


def _is_whole(folder: Path, weights: Sequence[str]) -> bool:
    """Whether the download is complete: the weights, which come last, with all their parts.

    No link may be dangling either.
    """
    kinds = [kind for kind in weights if not kind.endswith((".json", ".txt"))]
    parts = {
        folder / part
        for index in folder.glob("*.index.json")
        for part in json.loads(index.read_bytes())["weight_map"].values()
        if any(fnmatch(part, kind) for kind in kinds)
    }
    has_weights = any(file.is_file() for kind in kinds for file in folder.glob(kind))
    return has_weights and all(path.exists() for path in (*folder.rglob("*"), *parts))


def published(folder: Path) -> dict[Path, str]:
    """The files of a snapshot in the hub's cache, each with its published hash.

    That is the sha256 of large files and git's hash of small ones.
    """
    blobs = {path: path.resolve() for path in sorted(folder.rglob("*")) if path.is_symlink()}
    return {path: blob.name for path, blob in blobs.items() if blob.parent.name == "blobs"}


def nearby(model: Path, folder: Path | None) -> Path:
    """A copy of a model's folder or file below ``folder``, made by the first process to ask for it.

    Without a folder it is the model itself. The copy is for the disk of a machine on which many
    processes start at once: the file system they share is then read once. A changed model gets a
    new copy. Raise `OutputFailed`.
    """
    if folder is None:
        return model
    with output_errors(folder):
        home = user_folder(folder) / _fingerprint(model)
        create_once(home, partial(_copy, model))
    return home / model.name


def _copy(model: Path, folder: Path) -> None:
    copy = shutil.copytree if model.is_dir() else shutil.copy2
    copy(model, folder / model.name)


def _fingerprint(model: Path) -> str:
    """A fingerprint of the model's path and the sizes and times of all its files."""
    digest = hashlib.sha256(str(model.resolve()).encode())
    for file in sorted(model.rglob("*")) if model.is_dir() else [model]:
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def size(folder: Path) -> int:
    """Bytes of the weights in a model's folder, of its largest kind; or of its single file."""
    if folder.is_file():
        return folder.stat().st_size
    kinds = ("*.safetensors", "*.bin", "*.nemo", "*.ckpt")
    return max(sum(file.stat().st_size for file in folder.glob(kind)) for kind in kinds)
