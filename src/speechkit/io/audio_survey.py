"""What all audio of a manifest has in common, found one utterance at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioSurvey:
    """``folder`` holds all of it ("" where there is none). ``alike``: names of files differ by
    their suffix alone. ``apart``: slices of one recording lie in several splits of the manifest."""

    folder: str
    alike: bool
    apart: bool


class Surveyor:
    """Takes about 90 bytes a recording."""

    def __init__(self) -> None:
        self._folder = self._last = ""
        self._suffixes: dict[int, str] = {}  # of names without one
        self._alike = False

    def add(self, file: str) -> None:
        """Takes an absolute path, normalised."""
        if file == self._last:
            return
        self._last = file
        stem, suffix = os.path.splitext(file)  # noqa: PTH122 - pathlib differs by version
        self._alike |= self._suffixes.setdefault(hash(stem), suffix) != suffix
        if not self._folder:
            self._folder = os.path.dirname(file)  # noqa: PTH120
        elif not file.startswith(self._folder.rstrip("/") + "/"):
            self._folder = os.path.commonpath([self._folder, file])

    def result(self, *, apart: bool = False) -> AudioSurvey:
        return AudioSurvey(self._folder, self._alike, apart)


def normal(path: str) -> str:
    """An absolute path as every spelling of it comes out."""
    return "/" + os.path.normpath(path).lstrip("/")


def joined(surveys: Iterable[AudioSurvey]) -> AudioSurvey:
    """Of several manifests together; whether their names are alike among each other isn't known,
    so that they count as such."""
    first, *others = dict.fromkeys(surveys)
    if not others:
        return first
    folders = [one.folder for one in (first, *others) if one.folder]
    return AudioSurvey(
        os.path.commonpath(folders) if folders else "",
        alike=True,
        apart=any(one.apart for one in (first, *others)),
    )
