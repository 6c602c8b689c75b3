"""A temporary folder of one run, for whatever its workers and their libraries put aside."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "speechkit-run-"
LOCK = "in-use"


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder under TMPDIR, removed at the end; so are those of runs that were killed."""
    parent = Path(tempfile.gettempdir())
    _sweep(parent)
    new = Path(tempfile.mkdtemp(prefix="speechkit-"))
    try:
        with (new / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # It has the name that others look for once it is locked.
            new = new.rename(new.with_name(new.name.replace("speechkit-", PREFIX)))
            yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # in use, or another user's
            if left.lstat().st_uid != os.getuid():
                continue
            with (left / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
