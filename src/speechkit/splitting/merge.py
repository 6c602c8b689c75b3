"""Merges the results of splits, and proves that every utterance is there exactly once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechkit.errors import ManifestError, UsageError
from speechkit.io.atomic import lines_to
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest import check, folder_of
from speechkit.io.manifest_checks import lacks_nothing
from speechkit.records import Record
from speechkit.splitting.expected_utterances import ABSENT, ExpectedUtterances, result_key
from speechkit.splitting.merge_inputs import MergeInputs, MergeOptions, find_inputs
from speechkit.splitting.merge_summary import Fault, MergeSummary, utterance_name
from speechkit.splitting.missing_utterances import begun, find_missing
from speechkit.splitting.result_files import ResultFiles, ResultUnreadable


@dataclass(slots=True)
class _Findings:
    extra: list[Fault] = field(default_factory=list)
    duplicate: list[Fault] = field(default_factory=list)
    conflicting: list[Fault] = field(default_factory=list)
    unreadable: list[Fault] = field(default_factory=list)
    failed: int = 0
    suspects: set[int] = field(default_factory=set)  # files in conflict or partly unreadable


def merge_results(options: MergeOptions) -> MergeSummary:
    """Check the results against the input and write them in its order, byte for byte.

    The input is ``manifest``, else the one named by the splits' index in ``splits_dir``; without
    either, results come in the order of their splits and completeness can't be proven. Nothing is
    written unless everything is there, or with ``allow_partial``: then one line for each utterance
    that has a result, the first in the order of splits where several differ. Raise `UsageError`
    where there is nothing to merge, where the manifest is no longer the one that was split, or
    where the output would overwrite an input.
    """
    inputs = find_inputs(options)
    expected = _expected_utterances(inputs, options)
    files = ResultFiles(inputs.paths)
    findings = _Scan(expected, files, inputs).findings()
    summary = _summarise(options, inputs, expected, findings)
    if summary.written:
        with lines_to(options.output) as output:
            for file, offset, length in zip(
                expected.file, expected.offset, expected.length, strict=True
            ):
                if file != ABSENT:
                    output.write(files.line(file, offset, length) + b"\n")
    return summary


def _expected_utterances(inputs: MergeInputs, options: MergeOptions) -> ExpectedUtterances:
    """The expected utterances. Raise `UsageError` where the manifest has changed or is gone."""
    expected = ExpectedUtterances()
    if inputs.manifest is None:
        return expected
    indexed = inputs.index if options.manifest is None else None
    if indexed and not Path(indexed.parent).exists():
        raise UsageError(
            f"{indexed.parent}: the manifest that {inputs.index_path} is of is not there; "
            "restore it, or give --manifest"
        )
    fingerprint = expected.expect_manifest(inputs.manifest)
    if indexed and indexed.fingerprint != fingerprint:
        raise UsageError(
            f"{indexed.parent}: has changed since {inputs.index_path} was made of it; "
            "restore it, or give the manifest that was split with --manifest"
        )
    return expected


class _Scan:
    """One pass over all results, which gives each its place in ``expected``."""

    def __init__(
        self, expected: ExpectedUtterances, files: ResultFiles, inputs: MergeInputs
    ) -> None:
        self._expected = expected
        self._files = files
        self._inputs = inputs
        self._findings = _Findings()

    def findings(self) -> _Findings:
        for file, path in enumerate(self._inputs.paths):
            folder = folder_of(path)
            try:
                for number, offset, line in self._files.scan(file):
                    self._place(file, f"{path}, line {number}", folder, offset, line)
            except ResultUnreadable as e:
                self._add_unreadable(file, path, e)
        return self._findings

    def _place(self, file: int, where: str, folder: str, offset: int, line: bytes) -> None:
        try:
            record = check(parse_line(line, where), where, folder, lacks_nothing)
        except ManifestError as e:
            self._add_unreadable(file, where, e)
            return
        candidates = self._expected.candidates(record)
        if candidates:
            position = self._expected.choose(record, candidates)
        elif self._inputs.manifest is None:
            position = self._expected.expect(result_key(record))
        else:
            _refuse_segment(record, where, self._inputs.manifest)
            split = self._inputs.splits[file]
            self._findings.extra.append(Fault(utterance_name(record), where, split))
            return
        if self._expected.file[position] == ABSENT:
            self._expected.place(position, file, offset, len(line))
            self._findings.failed += record.get("error") is not None
        else:
            first = self._expected.file[position]
            is_duplicate = _is_known(record, candidates, self._expected, self._files)
            self._add_repeated(file, first, where, record, is_duplicate=is_duplicate)

    def _add_repeated(
        self, file: int, first: int, where: str, record: Record, *, is_duplicate: bool
    ) -> None:
        """Report another result of an utterance whose first one is in the file ``first``."""
        detail = sys.intern(f"the first is in {self._files.paths[first]}")
        fault = Fault(utterance_name(record), where, self._inputs.splits[file], detail)
        if is_duplicate:
            self._findings.duplicate.append(fault)
        else:
            self._findings.conflicting.append(fault)
            self._findings.suspects |= {file, first}

    def _add_unreadable(self, file: int, where: str, error: UsageError) -> None:
        reason = str(error).removeprefix(f"{where}: ")
        self._findings.unreadable.append(Fault("", where, self._inputs.splits[file], reason))
        self._findings.suspects.add(file)


def _refuse_segment(record: Record, where: str, manifest: str) -> None:
    if "parent" in record:
        raise UsageError(
            f"{where}: is a segment of {record['parent']}, and {manifest} lists recordings; "
            "merge the results of the recordings, then make segments of the merged file"
        )


def _is_known(
    record: Record, positions: Sequence[int], expected: ExpectedUtterances, files: ResultFiles
) -> bool:
    """Whether one of the positions has the very same result."""
    places = [
        (expected.file[position], expected.offset[position], expected.length[position])
        for position in positions
        if expected.file[position] != ABSENT
    ]
    return any(parse_line(files.line(*place), "") == record for place in places)


def _summarise(
    options: MergeOptions, inputs: MergeInputs, expected: ExpectedUtterances, findings: _Findings
) -> MergeSummary:
    missing = find_missing(
        expected, inputs.splits, inputs.manifest, inputs.index, options.splits_dir
    )
    rerun = {split for file in findings.suspects if (split := inputs.splits[file]) is not None}
    rerun |= missing.splits
    if inputs.index:
        rerun &= set(range(len(inputs.index.splits)))
    without_output = sorted(rerun.difference(split for split in inputs.splits if split is not None))
    faults = (findings.extra, findings.duplicate, findings.conflicting, findings.unreadable)
    complete = not (any(faults) or missing.faults or without_output)
    return MergeSummary(
        output=options.output,
        written=complete or options.allow_partial,
        files=len(inputs.paths),
        expected=len(expected),
        present=len(expected) - expected.file.count(ABSENT),
        failed=findings.failed,
        proven=inputs.manifest is not None,
        complete=complete,
        missing=missing.faults,
        extra=tuple(findings.extra),
        duplicate=tuple(findings.duplicate),
        conflicting=tuple(findings.conflicting),
        unreadable=tuple(findings.unreadable),
        without_output=tuple(without_output),
        begun=begun(inputs.paths, without_output),
        rerun=tuple(sorted(rerun)),
        remove=tuple(p for p, n in zip(inputs.paths, inputs.splits, strict=True) if n in rerun),
        broken_splits=missing.broken,
    )
