"""Results of earlier runs, checked against the input before they are used."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from speechkit.errors import ManifestError, OutputConflict
from speechkit.io import manifest
from speechkit.io.journal import Journal
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest_checks import fault
from speechkit.io.result_lines import error_type
from speechkit.records import Record, Utterance
from speechkit.runtime.stage import Stage

log = logging.getLogger(__name__)


def drop_invalid(journal: Journal, utterances: Iterable[Utterance], stage: Stage) -> None:
    """Remove results from the journal that are not the output of their utterance.

    The journal's checksums don't prove that, because they are easy to forge. If the folder was
    moved, paths are updated, and failures are removed.
    """
    foreign = 0
    entries = journal.entries()
    entry = next(entries, None)
    for utterance in utterances:
        if entry is None:
            break
        index, lines = entry
        if index == utterance.index:
            valid = _valid(lines, utterance, stage)
            if valid != lines:
                journal.keep(index, valid)
                foreign += valid is None
            entry = next(entries, None)
    journal.flush()
    if foreign:
        log.warning(
            "%s: results that do not belong to their utterances, computed again: %d",
            journal.part,
            foreign,
        )


def require_matching(output: Path, utterances: Iterable[Utterance], stage: Stage) -> None:
    """Raises `OutputConflict` for a finished output of other utterances."""
    for _ in _matched(output, utterances, stage):
        pass


def take_over(
    journal: Journal, utterances: Iterable[Utterance], stage: Stage, output: Path
) -> None:
    """Add the successful results of a finished output to the journal, unless it has them."""
    for index, lines in _matched(output, utterances, stage):
        if not journal.done(index) and _is_success(lines, index, stage):
            journal.append(index, [line.decode() for line in lines])
    journal.flush()


def _is_success(lines: Sequence[bytes], index: int, stage: Stage) -> bool:
    return not any(map(error_type, lines)) and all(
        stage.holds(index, parse_line(line, "")) for line in lines
    )


def _valid(lines: Sequence[bytes], utterance: Utterance, stage: Stage) -> list[bytes] | None:
    """The lines with current paths; None if they are not the utterance's output."""
    if len(lines) != 1 and not stage.cuts:
        return None
    valid = []
    for line in lines:
        record = _parsed(line)
        current = _current(record, utterance, stage) if record else None
        if current is None:
            return None
        failed = current.get("error") is not None
        if failed and current is not record:  # its message may name the former path
            return None
        if not failed and not _has_results(current, utterance, stage):
            return None
        valid.append(line if current is record else manifest.encoded(current))
    return valid


def _has_results(record: Record, utterance: Utterance, stage: Stage) -> bool:
    return record.keys() >= {*stage.result_keys} and stage.holds(utterance.index, record)


def _parsed(line: bytes) -> Record | None:
    """The record of a line; None for a malformed one."""
    try:
        record = parse_line(line, "")
    except ManifestError:
        return None
    if fault(record):
        return None
    error = record.get("error", {"type": ""})
    sound = error is None or (isinstance(error, dict) and isinstance(error.get("type"), str))
    return record if sound else None


def _current(record: Record, utterance: Utterance, stage: Stage) -> Record | None:
    """The utterance's record, itself or with its current path; None for a foreign record."""
    for spelling in _spellings(record, utterance):
        cut = stage.cuts and _is_cut_from(spelling, utterance)
        if cut or _is_line_of(spelling, utterance.record):
            return spelling
    return None


def _spellings(record: Record, utterance: Utterance) -> Iterator[Record]:
    """The record itself, then with current paths, if the manifest has a relative path that was
    resolved from another folder."""
    yield record
    written = os.path.normpath(utterance.written)
    if utterance.written and not written.startswith("/"):
        tail = "/" + written.removeprefix("../" * written.count("../"))
        matching = [
            key
            for key in ("audio_filepath", "parent")
            if isinstance(record.get(key), str) and record[key].endswith(tail)
        ]
        for keys in (matching[:1], matching):
            yield {**record, **dict.fromkeys(keys, utterance.audio)}


def _is_line_of(record: Record, utterance: Record) -> bool:
    """Whether an output line is the only line of an utterance."""
    same = all(record.get(key) == utterance.get(key) for key in ("parent", "audio_filepath"))
    return same and (
        manifest.identity(record) == manifest.identity(utterance)
        # The stage adds a duration that the input doesn't state.
        or (
            "duration" not in utterance
            and manifest.bare_identity(record) == manifest.bare_identity(utterance)
        )
    )


def _is_cut_from(record: Record, utterance: Utterance) -> bool:
    """Whether an output line is one of the segments of an utterance."""
    after = (record.get("offset") or 0.0) - utterance.offset
    length = utterance.duration or float("inf")
    names = (record.get("parent"), record.get("audio_filepath"))
    return names == (manifest.name(utterance.record), utterance.audio) and 0 <= after < length


def _matched(
    output: Path, utterances: Iterable[Utterance], stage: Stage
) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the index of each utterance with its lines of a finished output, in input order.

    Raises `OutputConflict` for an output of other utterances.
    """
    with manifest.open_lines(str(output)) as file:
        line = next(file, None)
        for utterance in utterances:
            lines: list[bytes] = []
            while line is not None:
                record = parse_line(line, str(output))
                current = _current(record, utterance, stage)
                if current is None:
                    break
                same = current is record
                lines.append(line.rstrip(b"\n") if same else manifest.encoded(current))
                line = next(file, None)
                if _is_line_of(current, utterance.record):
                    break
            if not lines and line is None and stage.grows:
                return
            if not lines and not stage.cuts:
                raise _other_utterances(output)
            yield utterance.index, lines
        if line is not None:
            raise _other_utterances(output)


def _other_utterances(output: Path) -> OutputConflict:
    return OutputConflict(
        f"{output}: exists and holds other utterances than the input; "
        "name another output, or replace it with --restart"
    )
