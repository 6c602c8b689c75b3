"""Assigns the lines of a manifest to splits: by duration or by count, always the same way."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from heapq import heapreplace
from pathlib import Path

from speechkit.io.audio_survey import AudioSurvey, Surveyor, normal
from speechkit.io.manifest import absolute, folder_of, read_lines
from speechkit.io.split_index import Split, SplitIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSource:
    """The parts of a manifest kept in memory: about 20 bytes a line, more while it is being read.

    ``path`` is absolute; ``fingerprint`` is the SHA-256 of its lines.
    """

    path: str
    folder: str
    fingerprint: str
    durations: array[float]  # seconds, 0 where not stated
    relative: bytearray  # 1 where the path has to be made absolute
    audio: AudioSurvey
    recordings: array[int]  # a number for the audio of each line


def read_source(path: str) -> SplitSource:
    """Read a manifest. Raise `ManifestError` for malformed lines."""
    folder = folder_of(path)
    durations, relative, digest = array("d"), bytearray(), sha256()
    surveyor, recordings = Surveyor(), array("q")
    for line, record in read_lines(path):
        durations.append(record.get("duration") or 0.0)
        relative.append(not record["audio_filepath"].startswith("/"))
        audio = normal(absolute(record, folder)["audio_filepath"])
        surveyor.add(audio)
        recordings.append(hash(audio))
        digest.update(line + b"\n")
    fingerprint = f"sha256:{digest.hexdigest()}"
    return SplitSource(
        path=str(Path(path).absolute()),
        folder=folder,
        fingerprint=fingerprint,
        durations=durations,
        relative=relative,
        audio=surveyor.result(),
        recordings=recordings,
    )


def assign(durations: array[float], splits: int, by: str) -> array[int]:
    """The split of each line. Ties go to the first line and the first split."""
    count = len(durations)
    if by == "count":
        return array("I", (line * splits // count for line in range(count)))
    stated = count - durations.count(0.0)
    mean = sum(durations) / stated if stated else 1.0
    weights = array("d", (duration or mean for duration in durations))
    assignment = array("I", bytes(4 * count))
    loads = [(0.0, split) for split in range(splits)]
    for line in sorted(range(count), key=weights.__getitem__, reverse=True):
        load, split = loads[0]
        assignment[line] = split
        heapreplace(loads, (load + weights[line], split))
    return assignment


def describe(source: SplitSource, by: str, names: list[str], assignment: array[int]) -> SplitIndex:
    """The index of split files that are yet to be written, with sizes of 0."""
    utterances, seconds = [0] * len(names), [0.0] * len(names)
    for split, duration in zip(assignment, source.durations, strict=True):
        utterances[split] += 1
        seconds[split] += duration
    return SplitIndex(
        parent=source.path,
        fingerprint=source.fingerprint,
        by=by,
        utterances=len(assignment),
        seconds=round(sum(seconds), 3),
        splits=tuple(
            Split(name, count, round(duration, 3), 0)
            for name, count, duration in zip(names, utterances, seconds, strict=True)
        ),
        audio=replace(source.audio, apart=_apart(source.recordings, assignment)),
    )


def _apart(recordings: Iterable[int], assignment: Iterable[int]) -> bool:
    """Whether lines of one recording go to several splits."""
    first: dict[int, int] = {}
    pairs = zip(recordings, assignment, strict=True)
    return any(first.setdefault(recording, split) != split for recording, split in pairs)
