"""Folders that are known to be on disk as they were meant, when they are written and ever after."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import IO

from speechkit.io import safe_open, typed_json
from speechkit.io.atomic import sync_folder
from speechkit.io.checksums import CHUNK, hash_like

CHECKSUMS = "checksums.json"  # sha256 by the name of a file, written last
_MOST_BYTES = 16 << 20  # of the checksums, and of the header of a file in safetensors' format


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def seal(folder: Path) -> None:
    """Bring all files to disk, read them back, and write their checksums.

    Raise OSError, also for a file that is cut or reads otherwise than it was written.
    """
    checksums = {}
    for path in files(folder):
        if path.suffix == ".safetensors":
            _require_whole(path)
        checksums[path.relative_to(folder).as_posix()] = _stored(path)
    with open(folder / CHECKSUMS, "x", encoding="utf-8") as file:
        json.dump(checksums, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    sync_tree(folder)


def sync_tree(folder: Path) -> None:
    """Bring the names in a folder and in those below it to disk."""
    for place in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        sync_folder(place)


def flaw(folder: Path) -> str:
    """What is wrong with a sealed folder, as a phrase; "" for nothing."""
    try:
        checksums = typed_json.parse(safe_open.read_bounded(folder / CHECKSUMS, _MOST_BYTES))
        for name, checksum in checksums.items():
            found = hash_like(folder / name, checksum)
            if found != checksum:
                return f"{name} is {'not what was written' if found else 'missing'}"
    except FileNotFoundError:
        return f"{CHECKSUMS} is missing"
    except OSError as e:
        return f"{e.filename} can't be read: {e.strerror}"
    except (ValueError, TypeError, AttributeError):
        return f"{CHECKSUMS} is not what was written"
    return "" if checksums else f"{CHECKSUMS} is empty"


def _stored(path: Path) -> str:
    """The sha256 of a file, which the disk gives back as well as the memory that was written."""
    with open(path, "rb") as file:
        written = _sha256(file)
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):  # so that it comes from the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if _sha256(file) != written:
            raise OSError(errno.EIO, "the disk gives back other bytes than were written", path)
    return written


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _require_whole(path: Path) -> None:
    """Check that a file is as long as its header says: https://github.com/huggingface/safetensors.

    Raise OSError.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, _MOST_BYTES))
    try:
        tensors = typed_json.parse(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name[:2] != "__"]
        whole = path.stat().st_size == 8 + length + max(ends, default=0)
    except (ValueError, TypeError, AttributeError, LookupError):
        whole = False
    if not whole:
        raise OSError(errno.EIO, "was not written as a whole", path)
