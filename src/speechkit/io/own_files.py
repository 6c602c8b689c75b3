"""Files that speechkit keeps for itself beside results, in folders that others may write to.

What stands at such a name may be anybody's. It is written to only where it is a plain file of one
name, and read only as far as it can be what speechkit has written there.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import types
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from speechkit.errors import OutputConflict
from speechkit.io.names import shown

_MOST_NUMBER = 1 << 53  # beyond it a count or a time is a mistake
_SHOWN = 60  # characters of a value in a sentence

T = TypeVar("T")


def open_growing(path: Path) -> IO[bytes]:
    """Opens a file to be appended to, made where there is none.

    Raises `OutputConflict` where it is a link, has a second name or is no file at all: what is
    written to it would be written to something else. Raises OSError.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise is_link(path) from e
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink < 2:
        return os.fdopen(descriptor, "ab")
    os.close(descriptor)
    what = "has a second name (a hard link)" if stat.S_ISREG(status.st_mode) else "is no file"
    raise OutputConflict(
        f"{shown(path)}: {what} and is not written to; remove it, or name another output"
    )


def is_link(path: Path) -> OutputConflict:
    return OutputConflict(
        f"{shown(path)}: is a link, and nothing is written through one; remove it, or name the "
        "file that it leads to"
    )


def stands_at(file: IO[bytes], path: Path) -> bool:
    """Whether the name still is that of the open file, and no link to it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError):
        return False


def open_to_read(path: Path) -> IO[bytes]:
    """Raises OSError, also for what is no regular file: a pipe would keep us waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read(path: Path, most: int) -> bytes:
    """A file of at most so many bytes. Raises OSError."""
    with open_to_read(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"longer than {most} bytes", str(path))
    return content


def parsed(text: bytes | str) -> Any:
    """The value of JSON, in which file names that are not UTF-8 may stand. Raises ValueError."""
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
        )
    except RecursionError as e:
        raise ValueError("nested too deeply") from e


def typed(kind: type[T], fields: Any) -> T:
    """A dataclass from an object of JSON. Raises ValueError where a field is missing, unknown, of
    another type, negative or immensely large."""
    if not isinstance(fields, Mapping):
        raise ValueError(f"expected an object, found {_shown(fields)}")
    hints = get_type_hints(kind)
    for name, value in fields.items():
        if not _fits(value, hints.get(name)):
            raise ValueError(f"{name} can't be {_shown(value)}")
    own = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    try:
        return kind(**own)
    except TypeError as e:
        raise ValueError(str(e).partition("() ")[2] or str(e)) from e


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, list | tuple) and all(_fits(one, inner) for one in value)
    if get_origin(hint) is dict:
        inner = get_args(hint)[1]
        return isinstance(value, dict) and all(_fits(one, inner) for one in value.values())
    if hint is float or hint is int:
        kinds = (int,) if hint is int else (int, float)
        return type(value) in kinds and 0 <= value < _MOST_NUMBER
    return hint is not None and type(value) is hint


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
