"""Where many audio files lie, found one file at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable


class AudioFolder:
    """``path``: the folder that all have in common, "" before the first. ``suffixes``: those of
    their names."""

    def __init__(self, path: str = "", suffixes: Iterable[str] = ()) -> None:
        self.path = path
        self.suffixes = set(suffixes)

    def add(self, file: str) -> None:
        """Takes an absolute path."""
        file = os.path.normpath(file)
        self.suffixes.add(os.path.splitext(file)[1])  # noqa: PTH122
        if not self.path:
            self.path = os.path.dirname(file)  # noqa: PTH120
        elif not file.startswith(self.path.rstrip("/") + "/"):
            self.path = os.path.commonpath([self.path, file])

    def join(self, other: AudioFolder) -> None:
        self.suffixes |= other.suffixes
        paths = [path for path in (self.path, other.path) if path]
        self.path = os.path.commonpath(paths) if paths else ""
