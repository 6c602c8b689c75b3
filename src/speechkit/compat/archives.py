"""Unpacks a ``.nemo`` file: only files and folders, below one folder, of limited size."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from speechkit.errors import EngineMissing
from speechkit.io.atomic import output_errors

MOST_MEMBERS = 10_000
MOST_GROWTH = 20  # times the file; NeMo packs without compression, and weights hardly compress


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A folder below TMPDIR with the content of the archive, removed at the end of the context.

    Raise `EngineMissing` for a broken or hostile archive, and `OutputFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        try:
            with tarfile.open(archive) as opened:
                members = _checked(opened, MOST_GROWTH * archive.stat().st_size)
                for member in members:
                    _extract(opened, member, Path(folder))
        except (tarfile.TarError, EOFError, ValueError) as e:
            raise EngineMissing(f"--model {archive}: not a whole archive of NeMo's: {e}") from e
        yield Path(folder)


def _checked(opened: tarfile.TarFile, most_bytes: int) -> list[tarfile.TarInfo]:
    """The members. Raise `ValueError` for a hostile one, or for too many."""
    members: list[tarfile.TarInfo] = []
    total = 0
    for member in opened:
        members.append(member)
        total += member.size
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
            raise ValueError(f"{member.name!r} in it is no file or folder of its own")
        if member.issparse() or total > most_bytes or len(members) > MOST_MEMBERS:
            raise ValueError(f"it would grow to more than {MOST_GROWTH} times its size")
    return members


def _extract(opened: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Extract a member, ignoring its owner and mode."""
    path = folder / member.name
    source = opened.extractfile(member)
    with output_errors("TMPDIR"):
        try:
            (path.parent if source else path).mkdir(parents=True, exist_ok=True)
            if source:
                with source, open(path, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as e:
            raise ValueError(f"{member.name!r} is in it as a file and as a folder") from e
