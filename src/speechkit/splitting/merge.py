"""Merges the results of splits and proves that every utterance is there exactly once."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from speechkit.errors import ManifestError, UsageError
from speechkit.io.atomic import publish_lines
from speechkit.io.json_lines import parse_line
from speechkit.io.judge import lacks_nothing
from speechkit.io.manifest import check, folder_of
from speechkit.io.split_index import SplitIndex, index_path, read_index, split_number
from speechkit.records import Record
from speechkit.splitting.expected_utterances import ABSENT, RollCall, result_key
from speechkit.splitting.merge_summary import Fault, MergeSummary, utterance_name
from speechkit.splitting.missing_utterances import begun, find_lack
from speechkit.splitting.result_files import ResultFiles, ResultUnreadable


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """``input_pattern`` is a glob of result files; ``output`` may be ``-`` for stdout."""

    input_pattern: str
    output: str
    manifest: str | None = None
    splits_dir: str = "splits"
    allow_partial: bool = False


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Result files in the order of their splits (None: no split's), and what they answer to."""

    paths: list[str]
    splits: list[int | None]
    manifest: str | None
    index: SplitIndex | None
    index_path: Path | None


@dataclass(slots=True)
class _Findings:
    extra: list[Fault] = field(default_factory=list)
    duplicate: list[Fault] = field(default_factory=list)
    conflicting: list[Fault] = field(default_factory=list)
    unreadable: list[Fault] = field(default_factory=list)
    failed: int = 0
    suspects: set[int] = field(default_factory=set)  # files in conflict or partly unreadable


def merge_results(options: MergeOptions) -> MergeSummary:
    """Holds the results against the input and writes them in its order, byte for byte.

    The input is ``manifest``, else the one named by the splits' index in ``splits_dir``; without
    either, results come in the order of their splits and completeness can't be proven. Writes
    nothing unless all is there, or ``allow_partial``: then one line an utterance that has a
    result, the first in the order of splits where several differ. Raises `UsageError` where there
    is nothing to merge, where the manifest is no longer the one that was split, or where the
    output would overwrite an input.
    """
    inputs = _inputs(options)
    roll = _roll_call(inputs, options)
    files = ResultFiles(inputs.paths)
    findings = _answers(roll, files, inputs)
    summary = _summarise(options, inputs, roll, findings)
    if summary.written:
        with _destination(options.output) as output:
            for file, offset, length in zip(roll.file, roll.offset, roll.length, strict=True):
                if file != ABSENT:
                    output.write(files.line(file, offset, length) + b"\n")
    return summary


def _inputs(options: MergeOptions) -> _Inputs:
    pattern = options.input_pattern
    found = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    found = [path for path in found if Path(path).is_file() and not path.endswith(".part")]
    _refuse_overwriting(
        options.output, [path for path in found if _numbered(path)], "a result to merge"
    )
    results = _without(found, [options.output])
    stems = sorted({numbered[0] for path in results if (numbered := _numbered(path))})
    if len(stems) > 1 and options.manifest is None:
        raise UsageError(
            f"{pattern}: matches the splits of several manifests ({', '.join(stems)}); "
            "narrow it, or give --manifest"
        )
    at = index_path(options.splits_dir, stems[0]) if len(stems) == 1 else None
    index = read_index(at) if at else None
    manifest = options.manifest or (index.parent if index else None)
    sources: list[str | Path] = [manifest] if manifest else []
    if at and index:
        sources += [at, *(at.parent / split.file for split in index.splits)]
    _refuse_overwriting(options.output, sources, "what the results are held against")
    results = _without(results, sources)
    if not results:
        but = ", but for the output and the splits themselves" if found else ""
        raise UsageError(f"{pattern}: matches no result file{but}")
    results.sort(key=lambda path: (*(_numbered(path) or ("\U0010ffff", 0)), path))
    numbers = [numbered[1] if (numbered := _numbered(path)) else None for path in results]
    return _Inputs(results, numbers, manifest, index, at)


def _numbered(path: str) -> tuple[str, int] | None:
    return split_number(Path(path).name)


def _without(paths: Iterable[str], others: Iterable[str | Path]) -> list[str]:
    excluded = {Path(other).resolve() for other in others}
    return [path for path in paths if Path(path).resolve() not in excluded]


def _refuse_overwriting(output: str, others: Iterable[str | Path], role: str) -> None:
    """An earlier merge is replaced; what a merge is made of is not."""
    if output != "-" and Path(output).resolve() in {Path(other).resolve() for other in others}:
        raise UsageError(f"-o {output}: is {role} and would be overwritten; name another file")


def _roll_call(inputs: _Inputs, options: MergeOptions) -> RollCall:
    roll = RollCall()
    if inputs.manifest is None:
        return roll
    indexed = inputs.index if options.manifest is None else None
    if indexed and not Path(indexed.parent).exists():
        raise UsageError(
            f"{indexed.parent}: the manifest that {inputs.index_path} is of is not there; "
            "restore it, or give --manifest"
        )
    fingerprint = roll.expect_manifest(inputs.manifest)
    if indexed and indexed.fingerprint != fingerprint:
        raise UsageError(
            f"{indexed.parent}: has changed since {inputs.index_path} was made of it; "
            "restore it, or give the manifest that was split with --manifest"
        )
    return roll


def _answers(roll: RollCall, files: ResultFiles, inputs: _Inputs) -> _Findings:
    """Scans every result and gives it its place in ``roll``."""
    findings = _Findings()
    for file, (path, split) in enumerate(zip(inputs.paths, inputs.splits, strict=True)):
        folder = folder_of(path)
        try:
            for number, offset, line in files.scan(file):
                where = f"{path}, line {number}"
                try:
                    record = check(parse_line(line, where), where, folder, lacks_nothing)
                except ManifestError as e:
                    reason = str(e).removeprefix(f"{where}: ")
                    findings.unreadable.append(Fault("", where, split, reason))
                    findings.suspects.add(file)
                    continue
                candidates = roll.candidates(record)
                if candidates:
                    position = roll.choose(record, candidates)
                elif inputs.manifest is None:
                    position = roll.expect(result_key(record))
                else:
                    _refuse_segment(record, where, inputs.manifest)
                    findings.extra.append(Fault(utterance_name(record), where, split))
                    continue
                if roll.file[position] == ABSENT:
                    roll.place(position, file, offset, len(line))
                    findings.failed += record.get("error") is not None
                    continue
                kept = roll.file[position]
                detail = sys.intern(f"the first is in {files.paths[kept]}")
                fault = Fault(utterance_name(record), where, split, detail)
                if _known(record, candidates, roll, files):
                    findings.duplicate.append(fault)
                else:
                    findings.conflicting.append(fault)
                    findings.suspects |= {file, kept}
        except ResultUnreadable as e:
            findings.unreadable.append(Fault("", path, split, str(e).removeprefix(f"{path}: ")))
            findings.suspects.add(file)
    return findings


def _refuse_segment(record: Record, where: str, manifest: str) -> None:
    if "parent" in record:
        raise UsageError(
            f"{where}: is a segment of {record['parent']}, and {manifest} lists recordings; "
            "merge the results of the recordings, then make segments of the merged file"
        )


def _known(record: Record, positions: Sequence[int], roll: RollCall, files: ResultFiles) -> bool:
    """Whether one of the positions has this very result."""
    places = [
        (roll.file[position], roll.offset[position], roll.length[position])
        for position in positions
        if roll.file[position] != ABSENT
    ]
    return any(parse_line(files.line(*place), "") == record for place in places)


def _summarise(
    options: MergeOptions, inputs: _Inputs, roll: RollCall, findings: _Findings
) -> MergeSummary:
    lack = find_lack(roll, inputs.splits, inputs.manifest, inputs.index, options.splits_dir)
    rerun = {split for file in findings.suspects if (split := inputs.splits[file]) is not None}
    rerun |= lack.splits
    if inputs.index:
        rerun &= set(range(len(inputs.index.splits)))
    without_output = sorted(rerun.difference(split for split in inputs.splits if split is not None))
    faults = (findings.extra, findings.duplicate, findings.conflicting, findings.unreadable)
    complete = not (any(faults) or lack.faults or without_output)
    return MergeSummary(
        output=options.output,
        written=complete or options.allow_partial,
        files=len(inputs.paths),
        expected=len(roll),
        present=len(roll) - roll.file.count(ABSENT),
        failed=findings.failed,
        proven=inputs.manifest is not None,
        complete=complete,
        missing=lack.faults,
        extra=tuple(findings.extra),
        duplicate=tuple(findings.duplicate),
        conflicting=tuple(findings.conflicting),
        unreadable=tuple(findings.unreadable),
        without_output=tuple(without_output),
        begun=begun(inputs.paths, without_output),
        rerun=tuple(sorted(rerun)),
        remove=tuple(p for p, n in zip(inputs.paths, inputs.splits, strict=True) if n in rerun),
        broken_splits=lack.broken,
    )


def _destination(output: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdout.buffer) if output == "-" else publish_lines(output)
