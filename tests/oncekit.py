"""What one process of a test run makes for all of them."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import forkkit


def once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder that ``make`` has filled for the first process that asked for it."""
    shared = Path(os.environ[forkkit.FOLDER])
    folder = shared / name
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            made = Path(tempfile.mkdtemp(dir=shared))
            make(made)
            made.rename(folder)
    return folder
