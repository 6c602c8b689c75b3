"""What earlier runs have left, held against the input before it is believed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from speechkit.errors import ManifestError, OutputConflict
from speechkit.io import manifest
from speechkit.io.journal import Journal, error_type
from speechkit.io.json_lines import parse_line
from speechkit.io.manifest_checks import fault
from speechkit.records import Record, Utterance
from speechkit.runtime.stage import Stage

log = logging.getLogger(__name__)


def recall(journal: Journal, utterances: Iterable[Utterance], stage: Stage) -> None:
    """Forgets what the part has under an utterance that is not that one's output: a checksum is
    easily made. Where the folder was moved, paths become today's, and failures are forgotten."""
    strange = 0
    entries = journal.entries()
    entry = next(entries, None)
    for utterance in utterances:
        if entry is None:
            break
        index, lines = entry
        if index == utterance.index:
            believed = _believed(lines, utterance, stage)
            if believed != lines:
                journal.keep(index, believed)
                strange += believed is None
            entry = next(entries, None)
    journal.flush()
    if strange:
        log.warning(
            "%s: results that do not belong to their utterances, computed again: %d",
            journal.part,
            strange,
        )


def take_over(
    journal: Journal, utterances: Iterable[Utterance], stage: Stage, output: Path
) -> None:
    """Puts into the journal what succeeded in a finished output and is not in it yet."""
    for index, lines in _matched(output, utterances, stage):
        if not journal.done(index) and not any(map(error_type, lines)):
            journal.append(index, [line.decode() for line in lines])
    journal.flush()


def _believed(lines: Sequence[bytes], utterance: Utterance, stage: Stage) -> list[bytes] | None:
    """The lines as they are to stand; None where they are not this utterance's."""
    if len(lines) != 1 and not stage.cuts:
        return None
    believed = []
    for line in lines:
        record = _judged(line)
        settled = _settled(record, utterance, stage) if record else None
        if settled is None:
            return None
        failed = settled.get("error") is not None
        if failed and settled is not record:  # its message may name the former place
            return None
        if not failed and not settled.keys() >= {*stage.result_keys}:
            return None
        believed.append(line if settled is record else manifest.encoded(settled))
    return believed


def _judged(line: bytes) -> Record | None:
    try:
        record = parse_line(line, "")
    except ManifestError:
        return None
    if fault(record):
        return None
    error = record.get("error", {"type": ""})
    sound = error is None or (isinstance(error, dict) and isinstance(error.get("type"), str))
    return record if sound else None


def _settled(record: Record, utterance: Utterance, stage: Stage) -> Record | None:
    """The record itself, or with today's path, if it is the utterance's; else None."""
    for spelling in _spellings(record, utterance):
        cut = stage.cuts and _is_cut_from(spelling, utterance)
        if cut or _is_line_of(spelling, utterance.record):
            return spelling
    return None


def _spellings(record: Record, utterance: Utterance) -> Iterator[Record]:
    """As it is; and where the manifest has a relative path that was followed from elsewhere."""
    yield record
    written = os.path.normpath(utterance.written)
    if utterance.written and not written.startswith("/"):
        tail = "/" + written.removeprefix("../" * written.count("../"))
        there = [
            key
            for key in ("audio_filepath", "parent")
            if isinstance(record.get(key), str) and record[key].endswith(tail)
        ]
        for keys in (there[:1], there):
            yield {**record, **dict.fromkeys(keys, utterance.audio)}


def _is_line_of(record: Record, utterance: Record) -> bool:
    """Whether an output line is this utterance's one line."""
    same = all(record.get(key) == utterance.get(key) for key in ("parent", "audio_filepath"))
    return same and (
        manifest.identity(record) == manifest.identity(utterance)
        # A duration that the input didn't state has been added by the stage.
        or (
            "duration" not in utterance
            and manifest.bare_identity(record) == manifest.bare_identity(utterance)
        )
    )


def _is_cut_from(record: Record, utterance: Utterance) -> bool:
    """Whether an output line is a segment of this utterance; it may have several."""
    after = (record.get("offset") or 0.0) - utterance.offset
    length = utterance.duration or float("inf")
    names = (record.get("parent"), record.get("audio_filepath"))
    return names == (manifest.name(utterance.record), utterance.audio) and 0 <= after < length


def _matched(
    output: Path, utterances: Iterable[Utterance], stage: Stage
) -> Iterator[tuple[int, list[bytes]]]:
    """The lines of a finished output by the utterance they belong to, in input order."""
    with manifest.open_lines(str(output)) as file:
        line = next(file, None)
        for utterance in utterances:
            lines: list[bytes] = []
            while line is not None:
                record = parse_line(line, str(output))
                settled = _settled(record, utterance, stage)
                if settled is None:
                    break
                same = settled is record
                lines.append(line.rstrip(b"\n") if same else manifest.encoded(settled))
                line = next(file, None)
                if _is_line_of(settled, utterance.record):
                    break
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
