"""Manifests: UTF-8 JSON Lines with NeMo's keys (``.jsonl``, ``.json``, either with ``.gz``)."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from speechkit.errors import ManifestError, UsageError
from speechkit.io.file_names import unicode_hint
from speechkit.io.json_lines import parse_line, read_items
from speechkit.io.manifest_checks import fault, lacks_audio
from speechkit.records import Record

Lacks = Callable[[Record], str | None]

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_NAMED = 20  # malformed lines in a message
_CONTROLS = re.compile("[\x7f-\x9f]")  # JSON itself escapes those below
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def is_manifest(path: str) -> bool:
    return path.endswith(SUFFIXES)


def manifest_suffix(name: str) -> str:
    """The suffix of a manifest's name (``.jsonl.gz``); "" where it is not a manifest's."""
    return max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default="")


def manifest_stem(name: str) -> str:
    """A manifest's name without its folder and suffix."""
    return Path(name).name.removesuffix(manifest_suffix(name))


def dump(record: Record) -> str:
    """The record as one line of JSON, without its newline."""
    return encoded(record).decode()


def encoded(record: Record) -> bytes:
    """As `dump`, in UTF-8."""
    try:
        text = _ENCODER.encode(record)
        if _CONTROLS.search(text):  # a terminal obeys some of them
            text = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
        return text.encode()
    except UnicodeEncodeError:  # file names that are not UTF-8 travel as escaped surrogates
        return json.dumps(record, allow_nan=False).encode()


def value_at(record: Record, key: str) -> Any:
    """The value of a key, or of a dotted path into nested objects; None where there is none."""
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def identity(record: Record) -> str:
    """The identity of a line's utterance in all stages: its ``id``, else path, offset, duration.

    A line without a duration gains one in the first stage it passes, so look for `bare_identity`
    where this one has no match.
    """
    if record.get("id") is not None:
        return f"id {record['id']}"
    duration = record.get("duration")
    return f"{bare_identity(record)} {'' if duration is None else f'{duration:.6f}'}"


def bare_identity(record: Record) -> str:
    """The identity of a line that states no duration."""
    if record.get("id") is not None:
        return f"id {record['id']}"
    return f"{record.get('audio_filepath', '')} {record.get('offset') or 0.0:.6f}"


def name(record: Record) -> str:
    """The name of the utterance in messages: its ``id``, else its path."""
    id_ = record.get("id")
    return str(record.get("audio_filepath", "") if id_ is None else id_)


@contextmanager
def open_lines(path: str) -> Iterator[IO[bytes]]:
    """The bytes of a manifest, unpacked where its name ends in ``.gz``."""
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as e:
        missing = unicode_hint(path) if isinstance(e, FileNotFoundError) else ""
        reason = getattr(e, "strerror", None) or e
        raise UsageError(f"{path}: can't be read: {reason}{missing}") from e


class Faults:
    """The malformed lines of an input, with a sentence each; only the first ones are kept."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self._more = 0

    def add(self, fault: str) -> None:
        if len(self.first) < _NAMED:
            self.first.append(fault)
        else:
            self._more += 1

    def refuse(self) -> None:
        """Raise `ManifestError` where there are any."""
        if self.first:
            rest = [f"… and {self._more} more malformed lines"] if self._more else []
            raise ManifestError("\n".join([*self.first, *rest]))


def check(record: Any, where: str, folder: str, lacks: Lacks = lacks_audio) -> Record:
    """The value of a line, checked and with an absolute path. Raise `ManifestError`."""
    wrong = fault(record) or lacks(record)
    if wrong:
        raise ManifestError(f"{where}: {wrong}")
    return absolute(record, folder)


def absolute(record: Record, folder: str) -> Record:
    """The record with its path made absolute against ``folder``."""
    path = record.get("audio_filepath")
    if path is not None and not path.startswith("/"):
        record["audio_filepath"] = os.path.normpath(os.path.join(folder, path))  # noqa: PTH118
    return record


def records(
    file: IO[bytes], name: str, folder: str, lacks: Lacks, faults: Faults
) -> Iterator[Record]:
    """The records of an open manifest as a stream; paths come out absolute.

    ``name`` stands for the manifest in messages. ``lacks`` returns what the stage needs and a line
    doesn't have. All lines are checked; those after a malformed one only add to ``faults``.
    """
    for record, _ in written_records(file, name, folder, lacks, faults):
        yield record


def written_records(
    file: IO[bytes], name: str, folder: str, lacks: Lacks, faults: Faults
) -> Iterator[tuple[Record, str]]:
    """As `records`, each with its path as it is written."""
    for _, record in _well_formed(file, name, lacks, faults):
        written = record.get("audio_filepath") or ""
        yield absolute(record, folder), written


def read_records(path: str, lacks: Lacks = lacks_audio) -> Iterator[Record]:
    """`records` of a file.

    Raise `ManifestError` at its end, naming the malformed lines, and `UsageError` where it can't be
    read.
    """
    faults = Faults()
    with open_lines(path) as file:
        yield from records(file, path, folder_of(path), lacks, faults)
    faults.refuse()


def read_input(source: str, lacks: Lacks = lacks_audio) -> Iterator[Record]:
    """`read_records` of a file, or of stdin where ``source`` is ``-``."""
    if source != "-":
        yield from read_records(source, lacks)
        return
    faults = Faults()
    with stdin_errors():
        yield from records(sys.stdin.buffer, "stdin", str(Path.cwd()), lacks, faults)
    faults.refuse()


@contextmanager
def stdin_errors() -> Iterator[None]:
    """Turn an OSError of reading stdin into a `UsageError`."""
    try:
        yield
    except OSError as e:
        raise UsageError(f"stdin: can't be read: {e.strerror or e}") from e


def read_lines(path: str, lacks: Lacks = lacks_audio) -> Iterator[tuple[bytes, Record]]:
    """As `read_records`, each with its line as in `content_lines`; paths stay as they are written.

    Raise `UsageError` also for an input that can't be read a second time.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise UsageError(f"{path}: is not a regular file, and is read more than once")
    faults = Faults()
    with open_lines(path) as file:
        for item, record in _well_formed(file, path, lacks, faults):
            yield _content(item), record
    faults.refuse()


def content_lines(path: str) -> Iterator[tuple[str, bytes]]:
    """Each line of a manifest, with its place for messages: bytes without newline, no blank lines.

    The lines are not parsed. The values of a JSON array are encoded again.
    """
    with open_lines(path) as file:
        for where, item in read_items(file, path):
            yield where, _content(item)


def folder_of(path: str) -> str:
    """The folder that relative paths in a manifest are relative to."""
    return str(Path(path).resolve().parent)


def _well_formed(
    file: IO[bytes], name: str, lacks: Lacks, faults: Faults
) -> Iterator[tuple[Any, Record]]:
    """Each item and its record, up to the first malformed one."""
    try:
        for where, item in read_items(file, name):
            try:
                value = parse_line(item, where) if isinstance(item, bytes) else item
            except ManifestError as e:
                faults.add(str(e))
                continue
            wrong = fault(value) or lacks(value)
            if wrong:
                faults.add(f"{where}: {wrong}")
            elif not faults.first:
                yield item, value
    except ManifestError as e:  # an array that breaks off
        faults.add(str(e))


def _content(item: Any) -> bytes:
    return item if isinstance(item, bytes) else encoded(item)
