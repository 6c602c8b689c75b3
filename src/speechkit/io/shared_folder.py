"""Folders that many processes want and the first of them makes, whole, while the others wait."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from speechkit.errors import OutputFailed
from speechkit.io.atomic import sync_folder
from speechkit.io.safe_open import open_append


@contextmanager
def exclusive_lock(path: Path) -> Iterator[bool]:
    """Keeps other processes out of the block; yields False where the file system has no locks,
    which then keeps nobody out."""
    with open_append(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True


def create_once(
    home: Path, make: Callable[[Path], None], is_whole: Callable[[Path], bool] = Path.exists
) -> Path:
    """``home``, a folder that ``make`` fills under another name before it gets its own.

    One that is there but not ``is_whole`` is made anew. Without locks each process makes its own,
    and the first to be renamed stays. What a killed process has left goes when the same host comes
    again, as locks may not reach beyond it. Raises OSError, and what ``make`` raises.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(home.with_name(f".{home.name}.lock")) as alone:
        if is_whole(home):
            return home
        prefix = f".{home.name}.{socket.gethostname()}."
        if alone:
            for left in home.parent.glob(f"{glob.escape(prefix)}*"):
                shutil.rmtree(left, ignore_errors=True)
        unfinished = home.with_name(f"{prefix}{secrets.token_hex(4)}")
        try:
            unfinished.mkdir()
            make(unfinished)
            _replace(home, unfinished, is_whole)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return home


def _replace(home: Path, unfinished: Path, is_whole: Callable[[Path], bool]) -> None:
    if home.exists() and not is_whole(home):
        aside = unfinished.with_name(f"{unfinished.name}-old")
        home.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        unfinished.rename(home)
    except OSError:
        if not is_whole(home):  # else another process was faster
            raise
    sync_folder(home.parent)


def user_folder(parent: Path) -> Path:
    """This user's folder for models in a folder that all may write to, such as TMPDIR.

    Raises `OutputFailed` where others could put theirs in its place, and OSError.
    """
    own = parent / f"speechkit-models-{os.getuid()}"
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = own.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or own.is_symlink():
        raise OutputFailed(f"{own}: others can write to it; name another folder")
    return own
