"""Hashes of files, of the kinds that hubs and package indexes publish, and their stamps."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK = 1 << 20  # bytes
READ_WHOLE = 64 * CHUNK
SAMPLES = 64  # of a larger file, a chunk each


def chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def hash_like(path: Path, published: str) -> str:
    """The hash of a file, of the same kind as ``published``: sha256, or git's name of it (sha1).

    "" where there is no such file.
    """
    if not path.is_file():
        return ""
    if len(published) == 64:
        digest = hashlib.sha256()
    else:
        header = b"blob %d\0" % path.stat().st_size
        digest = hashlib.sha1(header, usedforsecurity=False)
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def file_stamp(path: str) -> str:
    """The size and the time of change of a file in nanoseconds, by which another is noticed.

    Raise OSError.
    """
    status = os.stat(path)  # noqa: PTH116
    return f"{status.st_size}:{status.st_mtime_ns}"


def content_stamp(files: Iterable[Path]) -> str:
    """A hash of the names, the sizes and the content of files; of the larger ones, of `SAMPLES`
    chunks at even distances, the first and the last among them. Raise OSError."""
    digest = hashlib.sha256()
    for path in sorted(files):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode(errors="surrogateescape"))
        step = max(CHUNK, (size - CHUNK) // (SAMPLES - 1)) if size > READ_WHOLE else CHUNK
        with open(path, "rb") as file:
            for at in range(0, size, step):
                file.seek(at)
                digest.update(file.read(CHUNK))
    return digest.hexdigest()[:16]
