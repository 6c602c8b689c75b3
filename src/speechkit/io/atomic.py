"""The only way to write a final file: under a temporary name beside it, synced, renamed."""

from __future__ import annotations

import glob
import gzip
import io
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from speechkit.errors import OutputFailed, SpeechkitError
from speechkit.io.file_names import MOST_BYTES, shorten, shown
from speechkit.io.safe_open import is_still_at, link_error


@contextmanager
def publish(path: str | Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the name ``path`` when the block ends without an error.

    Parent folders are created and permissions follow the umask. Neither the file nor its name is
    visible before all of it is on disk. Raise `OutputFailed`.
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
    """Yield a new file that has the name ``temporary`` until all of it is on disk.

    Raise `OutputFailed` where somebody has replaced it in the meantime, and OSError.
    """
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
    """As `publish`, compressed where the name ends in ``.gz``; equal lines give equal bytes."""
    with publish(path) as file:
        if not str(path).endswith(".gz"):
            yield file
            return
        packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
        with packed, io.BufferedWriter(packed, 1 << 16) as lines:
            yield lines


def lines_to(output: str) -> AbstractContextManager[IO[bytes]]:
    """As `publish_lines`, but ``-`` is stdout."""
    return nullcontext(sys.stdout.buffer) if output == "-" else publish_lines(output)


def write_text(path: str | Path, text: str) -> None:
    with publish(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def sweep(path: Path) -> None:
    """Remove the temporary files of killed writers of ``path``; only for the holder of its lock."""
    for stale in path.parent.glob(f"{glob.escape(_hidden(path))}.????????.tmp"):
        with suppress(OSError):  # another user's, or no file
            stale.unlink()


def _hidden(path: Path) -> str:
    """The beginning of the file's temporary names, short enough for the longest file name."""
    return "." + shorten(path.name, MOST_BYTES - len("..12345678.tmp"))


def refuse_special(path: Path) -> None:
    """Refuse a device, a folder or a link at ``path``, which a rename would replace."""
    if path.is_symlink():
        raise link_error(path)
    if path.exists() and not path.is_file():
        raise OutputFailed(f"{shown(path)}: is not a regular file; name another one (- is stdout)")


def sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn an OSError of writing ``path`` into an `OutputFailed`."""
    try:
        yield
    except SpeechkitError:
        raise
    except OSError as e:
        raise OutputFailed(f"{shown(path)}: can't be written: {e.strerror or e}") from e
