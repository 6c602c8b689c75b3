"""Splits a manifest into files of equal work; the same input always gives the same splits."""

from __future__ import annotations

import resource
from array import array
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io.atomic import output_errors, publish_lines, write_text
from speechkit.io.file_names import unicode_hint
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest import (
    SUFFIXES,
    check,
    content_lines,
    encoded,
    manifest_stem,
    manifest_suffix,
)
from speechkit.io.split_index import (
    SplitIndex,
    array_text,
    dump_index,
    index_path,
    read_index,
    split_names,
)
from speechkit.splitting.assignment import SplitSource, assign, describe, read_source
from speechkit.splitting.earlier_splits import (
    are_same,
    are_whole,
    make_room,
    refuse_unlisted,
    remove_temporary,
)

_OPEN_FILES = 200  # written at once; more splits than that take another pass over the input
_OTHER_FILES = 32  # descriptors left for everything else
_MAX_SPLITS = 100_000  # far above any job array's limit


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """``by``: "duration" or "count"; ``restart`` removes the splits listed by an earlier index."""

    input: str
    splits: int
    output_dir: str = "splits"
    _: KW_ONLY
    by: str = "duration"
    restart: bool = False

    def __post_init__(self) -> None:
        if self.splits < 1:
            raise UsageError(f"--splits is {self.splits}: it has to be at least 1")
        if self.splits > _MAX_SPLITS:
            raise UsageError(f"--splits is {self.splits}: it has to be at most {_MAX_SPLITS}")
        if self.by not in ("duration", "count"):
            raise UsageError(f'--by is "{self.by}": it has to be duration or count')
        if not manifest_suffix(self.input):
            raise UsageError(f"{self.input}: not a manifest ({', '.join(SUFFIXES)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSummary:
    """Seconds are those stated by the manifest; ``shortest`` and ``longest`` are single splits."""

    index: str
    splits: int
    empty: int  # splits without an utterance
    utterances: int
    without_duration: int  # lines that state none, or 0; balanced as if they had the mean
    seconds: float
    shortest: float
    longest: float
    array: str  # the value of --array that runs them all
    unchanged: bool  # the same splits were there already


def split_manifest(options: SplitOptions) -> SplitSummary:
    """Write ``STEM_split_NN`` files and, last of all, ``STEM_splits.json``, which lists them.

    By duration, the longest utterance goes to the emptiest split; by count, each split takes a
    stretch of the input. Every split keeps the input's order and its lines byte for byte, except
    relative paths, which become absolute. Raise `ManifestError` for malformed lines, and
    `OutputConflict` where other splits are in the way, before anything is written.
    """
    stamp = _stamp(options.input)
    source = read_source(options.input)
    suffix, stem = manifest_suffix(source.path), manifest_stem(source.path)
    names = split_names(stem, suffix, options.splits)
    final = index_path(options.output_dir, stem)
    unfinished = final.with_name(final.name + ".part")

    assignment = assign(source.durations, options.splits, options.by)
    index = describe(source, options.by, names, assignment)
    earlier = read_index(final)
    if (
        earlier
        and not options.restart
        and are_same(earlier, index)
        and are_whole(earlier, final.parent)
    ):
        return _summarise(final, earlier, source, unchanged=True)

    with output_errors(final.parent):
        make_room(index, (final, unfinished), restart=options.restart)
        refuse_unlisted(final.parent, stem, suffix, (final, unfinished))
        remove_temporary(final.parent, {*names, final.name, unfinished.name})
    write_text(unfinished, dump_index(index))
    _write(source, final.parent, names, assignment, stamp)
    index = _measured(index, final.parent)
    write_text(final, dump_index(index))
    unfinished.unlink(missing_ok=True)
    return _summarise(final, index, source, unchanged=False)


def _stamp(path: str) -> tuple[int, int, int]:
    """Inode, size and time of change, which tell whether a file is still the same."""
    try:
        status = Path(path).stat()
    except OSError as e:
        raise UsageError(f"{path}: can't be read: {e.strerror}{unicode_hint(path)}") from e
    return status.st_ino, status.st_size, status.st_mtime_ns


def _measured(index: SplitIndex, folder: Path) -> SplitIndex:
    """The index with the sizes of the files as written."""
    with output_errors(folder):
        splits = (replace(s, bytes=(folder / s.file).stat().st_size) for s in index.splits)
        return replace(index, splits=tuple(splits))


def _write(
    source: SplitSource,
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
            rows = zip(content_lines(source.path), assignment, source.relative, strict=False)
            for (where, line), split, relative in rows:
                if first <= split < stop:
                    if relative:
                        line = encoded(check(parse_line(line, where), where, source.folder))  # noqa: PLW2901
                    writes[split - first](line + b"\n")
            if _stamp(source.path) != stamp:
                raise UsageError(f"{source.path}: changed while it was being split; run again")


def _summarise(
    path: Path, index: SplitIndex, source: SplitSource, *, unchanged: bool
) -> SplitSummary:
    seconds = [split.seconds for split in index.splits]
    return SplitSummary(
        index=str(path),
        splits=len(seconds),
        empty=sum(not split.utterances for split in index.splits),
        utterances=index.utterances,
        without_duration=source.durations.count(0.0),
        seconds=index.seconds,
        shortest=min(seconds),
        longest=max(seconds),
        array=array_text(range(len(seconds))),
        unchanged=unchanged,
    )
