"""A survey of the audio files of a manifest: their common folder, names and splits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioSurvey:
    """Properties of all audio files together.

    ``folder`` contains all of them ("" where there are none). ``alike``: some names differ by their
    suffix alone. ``apart``: slices of one recording lie in several splits of the manifest.
    """

    folder: str
    alike: bool
    apart: bool


class Surveyor:
    """Surveys one file after the other, in about 90 bytes of memory a recording."""

    def __init__(self) -> None:
        self._folder = self._last = ""
        self._suffixes: dict[int, str] = {}  # of names without one
        self._alike = False

    def add(self, file: str) -> None:
        """Add an absolute, normalised path."""
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
    """An absolute path in its normal form, the same for every spelling."""
    return "/" + os.path.normpath(path).lstrip("/")


def joined(surveys: Iterable[AudioSurvey]) -> AudioSurvey:
    """The survey of several manifests together.

    Whether names of different manifests are alike is unknown, so they count as alike.
    """
    distinct = list(dict.fromkeys(surveys))
    if len(distinct) == 1:
        return distinct[0]
    folders = [survey.folder for survey in distinct if survey.folder]
    return AudioSurvey(
        os.path.commonpath(folders) if folders else "",
        alike=True,
        apart=any(survey.apart for survey in distinct),
    )
