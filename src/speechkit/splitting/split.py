"""Splits a manifest into files of equal work: the same input always gives the same splits."""

from __future__ import annotations

import re
import resource
from array import array
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from heapq import heapreplace
from pathlib import Path

from speechkit.errors import OutputConflict, UsageError
from speechkit.io.atomic import output_errors, publish_lines, write_text
from speechkit.io.audio_survey import AudioSurvey, Surveyor, normal
from speechkit.io.file_names import unicode_hint
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest import (
    SUFFIXES,
    absolute,
    check,
    content_lines,
    encoded,
    folder_of,
    manifest_stem,
    manifest_suffix,
    read_lines,
)
from speechkit.io.split_index import (
    Split,
    SplitIndex,
    array_text,
    dump_index,
    index_path,
    read_index,
    split_names,
)

_OPEN_FILES = 200  # written at once; more splits than that take another pass over the input
_OTHER_FILES = 32  # descriptors left for everything else
_MOST_SPLITS = 100_000  # far above any job array's limit


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """``by`` is "duration" or "count"; ``restart`` removes the splits that the old index lists."""

    input: str
    splits: int
    output_dir: str = "splits"
    by: str = "duration"
    restart: bool = False

    def __post_init__(self) -> None:
        if self.splits < 1:
            raise UsageError(f"--splits is {self.splits}: it has to be at least 1")
        if self.splits > _MOST_SPLITS:
            raise UsageError(f"--splits is {self.splits}: it has to be at most {_MOST_SPLITS}")
        if self.by not in ("duration", "count"):
            raise UsageError(f'--by is "{self.by}": it has to be duration or count')
        if not manifest_suffix(self.input):
            raise UsageError(f"{self.input}: not a manifest ({', '.join(SUFFIXES)})")


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """Seconds are those that the manifest states; ``shortest`` and ``longest`` are of one split."""

    index: str
    splits: int
    empty: int  # splits without an utterance
    utterances: int
    without_duration: int  # lines that state none, or 0; balanced as if of the mean duration
    seconds: float
    shortest: float
    longest: float
    array: str  # what --array takes to run them all
    unchanged: bool  # the same splits were there already


@dataclass(frozen=True, slots=True)
class _Parent:
    """What is kept in memory of a manifest: about 20 bytes a line, and more while it is read and
    assigned."""

    path: str
    folder: str
    fingerprint: str
    durations: array[float]  # seconds, 0 where not stated
    relative: bytearray  # 1 where the path has to be made absolute
    audio: AudioSurvey
    recordings: array[int]  # a number for the audio of each line


def split_manifest(options: SplitOptions) -> SplitSummary:
    """Writes ``STEM_split_NN`` files and, last of all, ``STEM_splits.json`` that lists them.

    By duration, the longest utterance goes to the emptiest split; by count, each split takes a
    stretch of the input. Every split keeps the input's order and its lines byte for byte, but for
    relative paths, which become absolute. Raises `ManifestError` for malformed lines, and
    `OutputConflict` where other splits are in the way, before anything is written.
    """
    stamp = _stamp(options.input)
    parent = _scan(options.input)
    suffix, stem = manifest_suffix(parent.path), manifest_stem(parent.path)
    names = split_names(stem, suffix, options.splits)
    final = index_path(options.output_dir, stem)
    unfinished = final.with_name(final.name + ".part")

    assignment = _assign(parent.durations, options.splits, options.by)
    index = _describe(parent, options.by, names, assignment)
    old = read_index(final)
    if old and not options.restart and _same(old, index) and _whole(old, final.parent):
        return _summarise(final, old, parent, unchanged=True)

    with output_errors(final.parent):
        _make_room(index, (final, unfinished), restart=options.restart)
        _refuse_strangers(final.parent, stem, suffix, (final, unfinished))
        _sweep(final.parent, {*names, final.name, unfinished.name})
    write_text(unfinished, dump_index(index))
    _write(parent, final.parent, names, assignment, stamp)
    index = _measured(index, final.parent)
    write_text(final, dump_index(index))
    unfinished.unlink(missing_ok=True)
    return _summarise(final, index, parent, unchanged=False)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        status = Path(path).stat()
    except OSError as e:
        raise UsageError(f"{path}: can't be read: {e.strerror}{unicode_hint(path)}") from e
    return status.st_ino, status.st_size, status.st_mtime_ns


def _scan(path: str) -> _Parent:
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
    own = str(Path(path).absolute())
    survey = surveyor.result()
    return _Parent(own, folder, fingerprint, durations, relative, survey, recordings)


def _assign(durations: array[float], splits: int, by: str) -> array[int]:
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


def _describe(parent: _Parent, by: str, names: list[str], assignment: array[int]) -> SplitIndex:
    """The index of files that are yet to be written."""
    utterances, seconds = [0] * len(names), [0.0] * len(names)
    for split, duration in zip(assignment, parent.durations, strict=True):
        utterances[split] += 1
        seconds[split] += duration
    return SplitIndex(
        parent=parent.path,
        fingerprint=parent.fingerprint,
        by=by,
        utterances=len(assignment),
        seconds=round(sum(seconds), 3),
        splits=tuple(
            Split(name, count, round(duration, 3), 0)
            for name, count, duration in zip(names, utterances, seconds, strict=True)
        ),
        audio=replace(parent.audio, apart=_apart(parent.recordings, assignment)),
    )


def _apart(recordings: Iterable[int], assignment: Iterable[int]) -> bool:
    """Whether lines of one recording go to several splits."""
    first: dict[int, int] = {}
    pairs = zip(recordings, assignment, strict=True)
    return any(first.setdefault(recording, split) != split for recording, split in pairs)


def _measured(index: SplitIndex, folder: Path) -> SplitIndex:
    with output_errors(folder):
        splits = (replace(s, bytes=(folder / s.file).stat().st_size) for s in index.splits)
        return replace(index, splits=tuple(splits))


def _same(old: SplitIndex, new: SplitIndex) -> bool:
    return (old.parent, old.fingerprint, old.by, len(old.splits)) == (
        new.parent,
        new.fingerprint,
        new.by,
        len(new.splits),
    )


def _whole(index: SplitIndex, folder: Path) -> bool:
    """Whether every split is there in its full size."""
    try:
        return all((folder / split.file).stat().st_size == split.bytes for split in index.splits)
    except OSError:
        return False


def _make_room(new: SplitIndex, indices: tuple[Path, Path], *, restart: bool) -> None:
    """Refuses to write over the splits of another run, or removes those that its index lists."""
    for path in indices:
        old = read_index(path)
        if old is None:
            continue
        if restart:
            for split in old.splits:
                (path.parent / split.file).unlink(missing_ok=True)
            path.unlink()
        elif not _same(old, new):
            raise OutputConflict(
                f"{path}: lists {len(old.splits)} splits of {_difference(old, new)}; "
                "--restart replaces them, or name another --output-dir"
            )


def _refuse_strangers(folder: Path, stem: str, suffix: str, indices: tuple[Path, Path]) -> None:
    """Files named like our splits that neither a finished nor an unfinished split listed."""
    ours = {split.file for path in indices if (old := read_index(path)) for split in old.splits}
    ours_like = re.compile(re.escape(stem) + r"_split_\d{2,}" + re.escape(suffix))
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if ours_like.fullmatch(path.name) and path.name not in ours:
            raise OutputConflict(
                f"{path}: is in the way and no index of splits lists it; "
                "move it away, or name another --output-dir"
            )


def _sweep(folder: Path, names: set[str]) -> None:
    """Removes what a killed split has left, in one look at the folder."""
    for path in folder.glob(".*.????????.tmp"):
        if path.name[1 : -len(".????????.tmp")] in names:
            with suppress(OSError):  # another user's, or no file
                path.unlink()


def _difference(old: SplitIndex, new: SplitIndex) -> str:
    if old.parent != new.parent:
        return f"another manifest, {old.parent}"
    if old.fingerprint != new.fingerprint:
        return f"an earlier state of {old.parent}"
    if old.by != new.by:
        return f"{old.parent} by {old.by}, not by {new.by}"
    return f"{old.parent}, not {len(new.splits)}"


def _write(
    parent: _Parent,
    folder: Path,
    names: list[str],
    assignment: array[int],
    stamp: tuple[int, int, int],
) -> None:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    step = max(1, min(_OPEN_FILES, descriptors - _OTHER_FILES))
    for first in range(0, len(names), step):
        batch = names[first : first + step]
        stop = first + len(batch)
        with ExitStack() as stack:
            writes = [stack.enter_context(publish_lines(folder / name)).write for name in batch]
            rows = zip(content_lines(parent.path), assignment, parent.relative, strict=False)
            for (where, line), split, relative in rows:
                if first <= split < stop:
                    if relative:
                        line = encoded(check(parse_line(line, where), where, parent.folder))  # noqa: PLW2901
                    writes[split - first](line + b"\n")
            if _stamp(parent.path) != stamp:
                raise UsageError(f"{parent.path}: changed while it was being split; run again")


def _summarise(path: Path, index: SplitIndex, parent: _Parent, *, unchanged: bool) -> SplitSummary:
    seconds = [split.seconds for split in index.splits]
    return SplitSummary(
        index=str(path),
        splits=len(seconds),
        empty=sum(not split.utterances for split in index.splits),
        utterances=index.utterances,
        without_duration=parent.durations.count(0.0),
        seconds=index.seconds,
        shortest=min(seconds),
        longest=max(seconds),
        array=array_text(range(len(seconds))),
        unchanged=unchanged,
    )
