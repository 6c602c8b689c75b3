"""Models that come in parts, in packages of the package index: joined once, in the user's cache.

A part is a file of an installed distribution; these packages are never imported.
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
    """``parts``: distribution and path of each, in order; ``sha256`` of the joined file."""

    parts: tuple[tuple[str, str], ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model's files by name.

    ``folder``: its name in the cache, which changes with the files; ``install``: the command that
    installs the packages.
    """

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
        """The model's folder in the cache; None before it is joined."""
        with suppress(OSError):
            folder = user_cache() / self.folder
            return folder if self._is_whole(folder) else None
        return None

    def locate(self) -> Path | None:
        """The folder of the model's files, joined if necessary; None without the packages.

        Where the cache can't be written, TMPDIR is used and a line on stderr says so. Raise
        `EngineMissing` for damaged parts, and `OutputFailed` where neither has room.
        """
        if folder := self.joined():
            return folder
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
        """Whether all files still have the sizes and times that they had when they were joined."""
        with suppress(OSError, ValueError):
            return bool(json.loads((folder / ACCOUNT).read_bytes()) == self._account(folder))
        return False

    def _account(self, folder: Path) -> dict[str, list[int]]:
        """The size in bytes and the time in whole seconds, which every file system keeps."""
        states = {name: (folder / name).stat() for name in self.files}
        return {name: [state.st_size, int(state.st_mtime)] for name, state in states.items()}

    def _join(self, folder: Path) -> None:
        for name, file in self.files.items():
            digest = _write(
                folder / name, [installed_file(*part, self.install) for part in file.parts]
            )
            if digest != file.sha256:
                raise EngineMissing(
                    f"{name} of {', '.join(package for package, _ in file.parts)}: sha256 "
                    f"{digest}, should be {file.sha256}; install it anew: "
                    f"{self.install} --force-reinstall --no-cache-dir"
                )
        with open(folder / ACCOUNT, "x") as account:
            json.dump(self._account(folder), account)
            account.flush()
            os.fsync(account.fileno())


def user_cache() -> Path:
    """speechkit's folder in $XDG_CACHE_HOME or ~/.cache. Raise OSError where there is no home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():  # as the XDG specification has it
        return cache / "speechkit"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # Path.home() raises no OSError
    if not home.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(home))
    return home / ".cache" / "speechkit"


def installed_file(distribution: str, path: str, install: str) -> Path:
    """A file of an installed distribution. Raise `EngineMissing` where it can't be read."""
    try:
        file = Path(str(metadata.distribution(distribution).locate_file(path)))
    except metadata.PackageNotFoundError as e:
        raise EngineMissing(f"{distribution} is not installed; run: {install}") from e
    if not os.access(file, os.R_OK):
        raise EngineMissing(f"{file}: can't be read; install it anew: {install} --force-reinstall")
    return file


def verified_content(distribution: str, path: str, sha256: str, install: str) -> bytes:
    """The content of a file of an installed distribution. Raise `EngineMissing` where it can't be
    read, or is another one."""
    file = installed_file(distribution, path, install)
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise EngineMissing(
            f"{file}: sha256 {digest}, should be {sha256}; install it anew: "
            f"{install} --force-reinstall --no-cache-dir"
        )
    return content


def _write(path: Path, parts: list[Path]) -> str:
    """Join the parts into a new file; return its sha256."""
    digest = hashlib.sha256()
    with open(path, "xb") as out:
        for part in parts:
            for chunk in chunks(part):
                digest.update(chunk)
                out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
