"""Folders that many processes need: the first one fills them while the others wait."""

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
    """Keep other processes out of the block.

    Yield False where the file system has no locks; then it keeps nobody out.
    """
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
    """Create the folder ``home``, which ``make`` fills under a temporary name; return it.

    A folder that exists but is not ``is_whole`` is replaced. Without locks every process makes one,
    and the first to be renamed stays. The remains of a killed process are removed only by its own
    host, because locks may not reach beyond it. Raise OSError, and the errors of ``make``.
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
    """This user's folder for models in a folder that everybody may write to, such as TMPDIR.

    Raise `OutputFailed` where others could replace its files, and OSError.
    """
    folder = parent / f"speechkit-models-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or folder.is_symlink():
        raise OutputFailed(f"{folder}: others can write to it; name another folder")
    return folder
