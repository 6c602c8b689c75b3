"""What NeMo asks of Python's tar files, for a Python that lacks it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any
from unittest import mock


@contextmanager
def extraction_filter() -> Iterator[None]:
    """``TypeError: TarFile.extract() got an unexpected keyword argument 'filter'``, of Python 3.10
    before 3.10.12 and 3.11 before 3.11.4; Debian 12 has 3.11.2. NeMo 3.0 asks for ``"data"``.

    That lets files and folders through that stay below where they are extracted, and neither
    their owner nor their mode.
    """
    if hasattr(tarfile, "data_filter"):
        yield
        return
    plain: Any = tarfile.TarFile.extract

    def extract(
        archive: tarfile.TarFile, member: tarfile.TarInfo, path: str = "", *, filter: str
    ) -> None:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
            raise tarfile.ExtractError(f"{name}: no file or folder to extract")
        plain(archive, member, path, set_attrs=False)

    with mock.patch.object(tarfile.TarFile, "extract", extract):
        yield
