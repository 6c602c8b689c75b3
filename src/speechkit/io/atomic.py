"""The one way a final file comes to be: written beside its place, synced, renamed."""

from __future__ import annotations

import glob
import gzip
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from speechkit.errors import OutputFailed, SpeechkitError
from speechkit.io.file_names import MOST_BYTES, shorten, shown
from speechkit.io.safe_open import is_still_at, link_error


@contextmanager
def publish(path: str | Path) -> Iterator[IO[bytes]]:
    """Yields a binary file that takes the name ``path`` when the block ends without an error.

    Parent folders are made, permissions follow the umask, and neither the file nor its name is
    seen before all of it is on the disk. Raises `OutputFailed`.
    """
    final = Path(path)
    temporary = final.with_name(f"{_hidden(final)}.{secrets.token_hex(4)}.tmp")
    with output_errors(final):
        refuse_special(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            with renamed(temporary, final) as file:
                yield file
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def renamed(temporary: Path, final: Path) -> Iterator[IO[bytes]]:
    """Yields a new file that has the name ``temporary`` until all of it is on the disk. Raises
    `OutputFailed` where somebody has put another one there meanwhile, and OSError."""
    with open(temporary, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        if not is_still_at(file, temporary):
            raise OutputFailed(f"{temporary}: somebody has replaced it while it was written")
    temporary.replace(final)
    sync_folder(final.parent)


@contextmanager
def publish_lines(path: str | Path) -> Iterator[IO[bytes]]:
    """As `publish`, packed where the name ends in ``.gz``: the same lines give the same bytes."""
    with publish(path) as file:
        if not str(path).endswith(".gz"):
            yield file
            return
        packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
        with packed, io.BufferedWriter(packed, 1 << 16) as lines:
            yield lines


def write_text(path: str | Path, text: str) -> None:
    with publish(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def sweep(path: Path) -> None:
    """Removes what killed writers of ``path`` have left; only for who holds its lock."""
    for stale in path.parent.glob(f"{glob.escape(_hidden(path))}.????????.tmp"):
        with suppress(OSError):  # another user's, or no file
            stale.unlink()


def _hidden(path: Path) -> str:
    """What temporary names of the file begin with: it may itself be as long as a name can be."""
    return "." + shorten(path.name, MOST_BYTES - len("..12345678.tmp"))


def refuse_special(path: Path) -> None:
    """A rename would replace a device, a folder or a link; only a regular file may stand there."""
    if path.is_symlink():
        raise link_error(path)
    if path.exists() and not path.is_file():
        raise OutputFailed(f"{shown(path)}: is not a regular file; name another one (- is stdout)")


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turns an OSError of writing ``path`` into one sentence."""
    try:
        yield
    except SpeechkitError:
        raise
    except OSError as e:
        raise OutputFailed(f"{shown(path)}: can't be written: {e.strerror or e}") from e
