"""Reference texts beside audio: ``.txt``, ``.lab``, LibriSpeech's ``.trans.txt``.

Only regular files are read, and links to them within the input's folder. Anything else of such a
name is no reference.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from speechkit.errors import UsageError
from speechkit.io.file_names import FileNames, shown

log = logging.getLogger(__name__)

SUFFIXES = (".txt", ".lab")
MOST_TEXT = 8 << 20  # bytes of one reference, 150 hours of speech; escaped, it fits into a line
MOST_LIST = 64 << 20  # bytes of a .trans.txt


class References:
    """Finds the references of audio files, one after the other; reads a folder's list once."""

    def __init__(self) -> None:
        self._entered: tuple[str, str] | None = None
        self._names = self._listed = FileNames(())
        self._stems: frozenset[str] = frozenset()  # of files that are no references
        self._transcripts: dict[str, str] = {}
        self._warned = False

    def find(self, audio: str, root: str) -> str | None:
        """The text with its white space folded; None where there is none.

        ``root``: the input's folder. Raise `UsageError` for a reference that can't be read or is
        too long.
        """
        folder, name = os.path.split(audio)
        if (folder, root) != self._entered:
            self._enter(folder, root)
        stem, _ = os.path.splitext(name)  # noqa: PTH122
        for suffix in SUFFIXES:
            reference = self._match(stem, self._names, suffix)
            if reference and self._is_reference(path := Path(folder, reference), root, MOST_TEXT):
                with _opened(path) as file:
                    return " ".join(file.read().split())
        listed = self._match(stem, self._listed, "")
        return None if listed is None else self._transcripts[listed]

    def _match(self, stem: str, names: FileNames, suffix: str) -> str | None:
        """The name that belongs to this audio; one in another Unicode form may be another's."""
        match = names.find(stem + suffix)
        if match is None or match == stem + suffix:
            return match
        return None if match.removesuffix(suffix) in self._stems else match

    def _enter(self, folder: str, root: str) -> None:
        """Read the folder's names, and the lines ``NAME TEXT`` of its LibriSpeech transcripts."""
        try:
            self._names = FileNames(os.listdir(folder))  # noqa: PTH208
        except OSError:  # then there is no audio either
            self._names = FileNames(())
        self._entered = folder, root
        parts = map(os.path.splitext, self._names.all)
        self._stems = frozenset(stem for stem, suffix in parts if suffix not in SUFFIXES)
        self._transcripts = {}
        for name in sorted(self._names.all):
            if not name.endswith(".trans.txt"):
                continue
            path = Path(folder, name)
            if self._is_reference(path, root, MOST_LIST):
                self._read_list(path)
        self._listed = FileNames(self._transcripts)

    def _read_list(self, path: Path) -> None:
        with _opened(path) as file:
            for line in file:
                name, _, text = line.strip().partition(" ")
                if len(text) > MOST_TEXT:
                    raise _too_long(path, len(text), MOST_TEXT)
                if name:
                    self._transcripts[name] = text.strip()

    def _is_reference(self, path: Path, root: str, most: int) -> bool:
        try:
            status = path.stat()
        except PermissionError as e:
            raise _unreadable(path, e) from e
        except OSError:  # a link to nothing, or to itself
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        if path.is_symlink() and not path.resolve().is_relative_to(Path(root).resolve()):
            if not self._warned:
                log.warning(
                    "%s: a link out of %s is not read as a reference", shown(path), shown(root)
                )
            self._warned = True
            return False
        if status.st_size > most:
            raise _too_long(path, status.st_size, most)
        return True


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            yield file
    except OSError as e:
        raise _unreadable(path, e) from e


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{shown(path)}: a reference text that can't be read: {error.strerror}")


def _too_long(path: Path, size: int, most: int) -> UsageError:
    return UsageError(
        f"{shown(path)}: a reference text of {size >> 20} MiB, and {most >> 20} MiB are the most "
        "that is read; if it is none, give it another name"
    )
