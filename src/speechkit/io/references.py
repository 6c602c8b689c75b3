"""Reference texts that lie beside audio: ``.txt``, ``.lab``, LibriSpeech's ``.trans.txt``."""

from __future__ import annotations

import os
from pathlib import Path

from speechkit.errors import UsageError

SUFFIXES = (".txt", ".lab")


class References:
    """Finds the reference of one audio file after another; a folder's list is read once."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._names: frozenset[str] = frozenset()
        self._transcripts: dict[str, str] = {}

    def find(self, audio: str) -> str | None:
        """The text with its white space folded, None where there is none.

        Raises `UsageError` where there is one that can't be read.
        """
        folder, name = os.path.split(audio)
        if folder != self._folder:
            self._enter(folder)
        stem, _ = os.path.splitext(name)  # noqa: PTH122
        for suffix in SUFFIXES:
            if stem + suffix in self._names and (beside := Path(folder, stem + suffix)).is_file():
                return " ".join(_read(beside).split())
        return self._transcripts.get(stem)

    def _enter(self, folder: str) -> None:
        """Reads the folder's names, and the lines ``NAME TEXT`` of its LibriSpeech transcripts."""
        try:
            self._names = frozenset(os.listdir(folder))  # noqa: PTH208
        except OSError:  # then there is no audio either
            self._names = frozenset()
        self._folder = folder
        lines = (
            line.strip().partition(" ")
            for name in sorted(self._names)
            if name.endswith(".trans.txt")
            for line in _read(Path(folder, name)).splitlines()
        )
        self._transcripts = {name: text.strip() for name, _, text in lines if name}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", errors="replace")
    except OSError as e:
        raise UsageError(f"{path}: a reference text that can't be read: {e.strerror}") from e
