"""Opening files in folders that others may write to, without being led astray.

A file of such a name may be anybody's. It is written only if it is a regular file with a single
name, and read only up to the size that speechkit could have written.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path
from typing import IO

from speechkit.errors import OutputConflict
from speechkit.io.file_names import shown

LOCK_TRIES, LOCK_WAIT = 5, 0.1  # seconds; a reader may hold the lock for a moment


def open_append(path: Path) -> IO[bytes]:
    """Open a file for appending; create it where there is none.

    Raise `OutputConflict` where it is a link, has a second name or is no regular file: the write
    would go to something else. Raise OSError.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise link_error(path) from e
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink < 2:
        return os.fdopen(descriptor, "ab")
    os.close(descriptor)
    problem = "has a second name (a hard link)" if stat.S_ISREG(status.st_mode) else "is no file"
    raise OutputConflict(
        f"{shown(path)}: {problem} and is not written to; remove it, or name another output"
    )


def link_error(path: Path) -> OutputConflict:
    """The error for a link where a file is to be written."""
    return OutputConflict(
        f"{shown(path)}: is a link, and nothing is written through one; remove it, or name the "
        "file that it leads to"
    )


def is_still_at(file: IO[bytes], path: Path) -> bool:
    """Whether the name is still that of the open file, and not of a link to it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError):
        return False


def open_regular(path: Path) -> IO[bytes]:
    """Open for reading. Raise OSError, also for anything but a regular file: a pipe would block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes. Raise OSError."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"longer than {most} bytes", str(path))
    return content


def lock(file: IO[bytes]) -> None:
    """Take the exclusive lock. Raise OSError: EWOULDBLOCK where another process holds it.

    A reader (`output_status`) may hold it for a moment.
    """
    for wait in (*[LOCK_WAIT] * LOCK_TRIES, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as e:
            if e.errno != errno.EWOULDBLOCK or wait is None:
                raise
            time.sleep(wait)
