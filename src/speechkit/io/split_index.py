"""The index of a manifest's splits: their manifest, their sizes and their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io import safe_open, typed_json
from speechkit.io.audio_survey import AudioSurvey
from speechkit.io.manifest import manifest_stem, manifest_suffix

_MOST_BYTES = 64 << 20  # of an index; 100,000 splits take a sixth of it
_NUMBERED = re.compile(r"(.*)_split_(\d+)(?!\d)")


@dataclass(frozen=True, slots=True)
class Split:
    """A split: the name of its file beside the index, and its size."""

    file: str
    utterances: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class SplitIndex:
    """``parent`` is the manifest's absolute path, ``fingerprint`` the SHA-256 of its lines."""

    parent: str
    fingerprint: str
    by: str
    utterances: int
    seconds: float
    splits: tuple[Split, ...]
    audio: AudioSurvey

    @property
    def stem(self) -> str:
        """The beginning of the splits' names."""
        return manifest_stem(self.parent)


def index_path(folder: str | Path, stem: str) -> Path:
    return Path(folder) / f"{stem}_splits.json"


def split_names(stem: str, suffix: str, splits: int) -> list[str]:
    width = max(2, len(str(splits - 1)))
    return [f"{stem}_split_{number:0{width}d}{suffix}" for number in range(splits)]


def split_number(name: str) -> tuple[str, int] | None:
    """``("data", 3)`` for ``data_split_03.vad.jsonl``; None for the name of no split."""
    match = _NUMBERED.match(name)
    return (match[1], int(match[2])) if match else None


def array_text(numbers: Iterable[int]) -> str:
    """``3,17-19``: ascending numbers as ``sbatch --array`` takes them."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def dump_index(index: SplitIndex) -> str:
    return json.dumps(asdict(index), indent=1, ensure_ascii=False) + "\n"


def read_index(path: Path) -> SplitIndex | None:
    """The index, or None where there is no such file. Raise `UsageError` for any other file."""
    try:
        text = safe_open.read_bounded(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise UsageError(f"{path}: can't be read: {e.strerror}; move it away") from e
    try:
        index = typed_json.to_dataclass(SplitIndex, typed_json.parse(text))
        stem = path.name.removesuffix(".part").removesuffix("_splits.json")
        names = split_names(stem, manifest_suffix(index.parent), len(index.splits))
        if [split.file for split in index.splits] != names:
            raise ValueError("it lists files that no split is named as")
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise UsageError(f"{path}: not an index of splits ({e}); move it away") from e
    return index
