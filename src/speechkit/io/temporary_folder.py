"""The temporary folder of a run, for files of its workers and their libraries."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from speechkit.errors import OutputFailed

PREFIX = f".speechkit-run-{socket.gethostname()}-"  # locks may not reach beyond a host
LOCK = "in-use"


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, removed at the end, along with those of killed runs.

    Raise `OutputFailed` where it can't be created.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        new, lock = _create(parent)
    except OSError as e:
        raise OutputFailed(f"{parent}: no folder can be made in it: {e.strerror or e}") from e
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)
        lock.close()


@contextmanager
def temporary_errors() -> Iterator[None]:
    """Turn an OSError of writing a temporary file into an `OutputFailed`."""
    try:
        yield
    except OSError as e:
        raise OutputFailed(
            f"{tempfile.tempdir or 'TMPDIR'}: can't be written: {e.strerror or e}; let TMPDIR name "
            "a folder that has room"
        ) from e


def _create(parent: Path) -> tuple[Path, IO[str]]:
    """A folder, and the open file that keeps it locked."""
    _sweep(parent)
    new = Path(tempfile.mkdtemp(prefix=".speechkit-", dir=parent))
    lock = (new / LOCK).open("x")
    fcntl.flock(lock, fcntl.LOCK_EX)
    # It gets the name that others look for once it is locked.
    return new.rename(new.with_name(new.name.replace(".speechkit-", PREFIX))), lock


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # in use, or another user's
            if left.lstat().st_uid != os.getuid():
                continue
            with (left / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
