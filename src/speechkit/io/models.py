"""Where a model's files are: a local folder, the hub's cache, or the hub."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from speechkit.errors import EngineMissing, OutputFailed
from speechkit.io.atomic import output_errors


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


def nearby(model: Path, folder: Path | None) -> Path:
    """A copy of a model's folder or file below ``folder``, made by the first who asks for it; the
    model itself where there is no folder.

    For the disk of a machine on which many processes start at once: the file system they share is
    then read once. A model that changes gets a copy of its own. Raises `OutputFailed`.
    """
    if folder is None:
        return model
    own = folder / f"speechkit-models-{os.getuid()}"
    with output_errors(own):
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = own.lstat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022 or own.is_symlink():
            raise OutputFailed(f"{own}: others can write to it; name another --copy-models-to")
        home = own / _fingerprint(model)
        with open(home.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not home.exists():
                unfinished = home.with_suffix(".part")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                copy = shutil.copytree if model.is_dir() else shutil.copy2
                copy(model, unfinished / model.name)
                unfinished.rename(home)
    return home / model.name


def _fingerprint(model: Path) -> str:
    """Of the place, sizes and times of all its files."""
    digest = hashlib.sha256(str(model.resolve()).encode())
    for file in sorted(model.rglob("*")) if model.is_dir() else [model]:
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def size(folder: Path) -> int:
    """Bytes of the largest weights file kind in a model's folder, or of its one file."""
    if folder.is_file():
        return folder.stat().st_size
    kinds = ("*.safetensors", "*.bin", "*.nemo", "*.ckpt")
    return max(sum(file.stat().st_size for file in folder.glob(kind)) for kind in kinds)
