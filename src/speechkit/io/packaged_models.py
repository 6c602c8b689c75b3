"""Models that data packages of the package index carry, in parts: joined once, in the user's cache.

A part is a file of an installed distribution; nothing of these packages is imported.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from speechkit.errors import EngineMissing
from speechkit.io.atomic import output_errors
from speechkit.io.checksums import chunks
from speechkit.io.shared_folder import create_once, user_folder

log = logging.getLogger(__name__)

ACCOUNT = "joined.json"  # sizes and times of the files beside it, as they were when joined


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """``parts``: distribution and path in it of each, in order; ``sha256`` of them joined."""

    parts: tuple[tuple[str, str], ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model's files by name. ``folder``: its name in the cache, which is another one for other
    files; ``install``: the command that brings the packages."""

    folder: str
    install: str
    files: Mapping[str, PackagedFile]

    def is_installed(self) -> bool:
        names = {name for file in self.files.values() for name, _ in file.parts}
        try:
            return all(metadata.distribution(name) for name in names)
        except metadata.PackageNotFoundError:
            return False

    def joined(self) -> Path | None:
        """Its folder in the cache; None before it is joined."""
        with suppress(OSError):
            folder = user_cache() / self.folder
            return folder if self._is_whole(folder) else None
        return None

    def locate(self) -> Path | None:
        """The folder of its files, joined where they are not yet; None without the packages.

        Where the cache can't be written, TMPDIR serves, and a line on stderr says so. Raises
        `EngineMissing` for parts that are damaged, `OutputFailed` where there is no room at all.
        """
        if found := self.joined():
            return found
        if not self.is_installed():
            return None
        try:
            return create_once(user_cache() / self.folder, self._join, self._is_whole)
        except OSError as e:
            return self._join_in_tmpdir(f"{e.filename or 'the cache'}: {e.strerror}")

    def _join_in_tmpdir(self, why: str) -> Path:
        with output_errors("TMPDIR"):
            folder = user_folder(Path(tempfile.gettempdir())) / self.folder
            log.warning("%s, so the model goes to %s (TMPDIR)", why, folder)
            return create_once(folder, self._join, self._is_whole)

    def _is_whole(self, folder: Path) -> bool:
        """Whether all files have the sizes and times that they had when they were joined."""
        with suppress(OSError, ValueError):
            return bool(json.loads((folder / ACCOUNT).read_bytes()) == self._account(folder))
        return False

    def _account(self, folder: Path) -> dict[str, list[int]]:
        """Bytes and whole seconds, which every file system keeps."""
        states = {name: (folder / name).stat() for name in self.files}
        return {name: [one.st_size, int(one.st_mtime)] for name, one in states.items()}

    def _join(self, folder: Path) -> None:
        for name, file in self.files.items():
            found = _write(folder / name, [_part(*part, self.install) for part in file.parts])
            if found != file.sha256:
                raise EngineMissing(
                    f"{name} of {', '.join(package for package, _ in file.parts)}: sha256 {found}, "
                    f"should be {file.sha256}; install it anew: {self.install} --force-reinstall "
                    "--no-cache-dir"
                )
        with open(folder / ACCOUNT, "x") as account:
            json.dump(self._account(folder), account)
            account.flush()
            os.fsync(account.fileno())


def user_cache() -> Path:
    """speechkit's folder in $XDG_CACHE_HOME or ~/.cache. Raises OSError where there is no home."""
    told = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if told.is_absolute():  # as the XDG specification has it
        return told / "speechkit"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # Path.home() raises no OSError
    if not home.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(home))
    return home / ".cache" / "speechkit"


def _part(distribution: str, path: str, install: str) -> Path:
    part = Path(str(metadata.distribution(distribution).locate_file(path)))
    if not os.access(part, os.R_OK):
        raise EngineMissing(f"{part}: can't be read; install it anew: {install} --force-reinstall")
    return part


def _write(path: Path, parts: list[Path]) -> str:
    """Joins the parts into a new file; the sha256 of what it wrote."""
    digest = hashlib.sha256()
    with open(path, "xb") as out:
        for part in parts:
            for chunk in chunks(part):
                digest.update(chunk)
                out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
