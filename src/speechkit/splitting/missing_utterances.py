"""Finds the utterances missing from a merge, and the splits to run again for them."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechkit.errors import UsageError
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest import check, content_lines, folder_of, read_records
from speechkit.io.manifest_checks import lacks_nothing
from speechkit.io.split_index import SplitIndex
from speechkit.splitting.expected_utterances import ABSENT, ExpectedUtterances, expected_key
from speechkit.splitting.merge_summary import Fault, utterance_name

_UNKNOWN = -1  # the split of an utterance


@dataclass(frozen=True, slots=True)
class MissingUtterances:
    """Missing utterances, the splits that lack them, and split files that can't be read."""

    faults: tuple[Fault, ...]
    splits: frozenset[int]
    broken: tuple[str, ...]


def find_missing(
    expected: ExpectedUtterances,
    splits: Sequence[int | None],
    manifest: str | None,
    index: SplitIndex | None,
    folder: str,
) -> MissingUtterances:
    """``splits`` has the split of each result file; ``folder`` is where the split files are.

    Without an index the splits are those that leave a gap in the numbering.
    """
    counts = Counter(expected.file)
    results: Counter[int] = Counter()
    for file, split in enumerate(splits):
        if split is not None:
            results[split] += counts[file]
    gaps = frozenset(range(max(results, default=0))) - set(results)
    if manifest is None:
        return MissingUtterances((), gaps, ())
    if ABSENT not in counts:
        return MissingUtterances((), frozenset(), ())
    split_of = array("i", [_UNKNOWN]) * len(expected)
    if index is None:
        return MissingUtterances(_faults(expected, manifest, split_of, ""), gaps, ())
    broken = _attribute(expected, index, folder, results, split_of)
    lacking = (frozenset(split_of) | frozenset(broken)) - {_UNKNOWN}
    files = tuple(str(Path(folder) / index.splits[split].file) for split in broken)
    detail = "" if broken else "in none of the splits: split the manifest again"
    return MissingUtterances(_faults(expected, manifest, split_of, detail), lacking, files)


def _attribute(
    expected: ExpectedUtterances,
    index: SplitIndex,
    folder: str,
    results: Counter[int],
    split_of: array[int],
) -> list[int]:
    """Fill ``split_of`` with the split of each missing position; returns splits that can't be read.

    Splits without results come first: an utterance in several splits counts as missing there.
    """
    broken = []
    lacking = [n for n, split in enumerate(index.splits) if results[n] < split.utterances]
    for number in sorted(lacking, key=lambda n: (results[n] > 0, n)):
        try:
            split = Path(folder) / index.splits[number].file
            for record in read_records(str(split), lacks_nothing):
                missing = [
                    position
                    for position in expected.positions(expected_key(record))
                    if expected.file[position] == ABSENT and split_of[position] == _UNKNOWN
                ]
                if missing:
                    split_of[expected.choose(record, missing)] = number
        except UsageError:
            broken.append(number)
    return sorted(broken)


def _faults(
    expected: ExpectedUtterances, manifest: str, split_of: array[int], unknown: str
) -> tuple[Fault, ...]:
    folder = folder_of(manifest)
    faults = []
    for (where, line), file, split in zip(
        content_lines(manifest), expected.file, split_of, strict=False
    ):
        if file == ABSENT:
            record = check(parse_line(line, where), where, folder, lacks_nothing)
            known = split != _UNKNOWN
            fault = Fault(
                utterance_name(record), where, split if known else None, "" if known else unknown
            )
            faults.append(fault)
    return tuple(faults)


def begun(paths: Iterable[str], splits: Iterable[int]) -> tuple[int, ...]:
    """The ``splits`` with an unfinished output, whose name follows from a finished one."""
    for path in paths:
        match = re.fullmatch(r"(.*_split_)(\d+)(.*)", Path(path).name)
        if match:
            names = {n: f"{match[1]}{n:0{len(match[2])}d}{match[3]}.part" for n in splits}
            return tuple(n for n in names if Path(path).with_name(names[n]).exists())
    return ()
