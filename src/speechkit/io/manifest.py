"""Manifests: UTF-8 JSON Lines with NeMo's keys (``.jsonl``, ``.json``, either with ``.gz``)."""

from __future__ import annotations

import gzip
import json
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

from speechkit.errors import ManifestError, UsageError
from speechkit.records import Record

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
MOST_SECONDS = 1e9  # 30 years; beyond it a time is a mistake


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{number} is too large")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def is_manifest(path: str) -> bool:
    return path.endswith(SUFFIXES)


def dump(record: Record) -> str:
    """The record as one line of JSON, without its newline."""
    line = _ENCODER.encode(record)
    try:
        line.encode()
    except UnicodeEncodeError:  # file names that are not UTF-8 travel as escaped surrogates
        return json.dumps(record, allow_nan=False)
    return line


def identity(record: Record) -> str:
    """What makes a line the same utterance everywhere: its ``id``, else path, offset, duration.

    A line without a duration gains one in the first stage it passes, so `bare_identity` is what
    to look for where this one is not found.
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
    """How people call the utterance: its ``id``, else its path."""
    known = record.get("id")
    return str(record.get("audio_filepath", "") if known is None else known)


@contextmanager
def open_lines(path: str) -> Iterator[IO[bytes]]:
    """The bytes of a manifest, unpacked where its name ends in ``.gz``."""
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as e:
        raise UsageError(f"{path}: can't be read: {getattr(e, 'strerror', None) or e}") from e


def parse_line(line: bytes, where: str) -> Any:
    """The JSON value of one line; ``where`` names it in the error."""
    try:
        return _DECODER.decode(line.decode())
    except UnicodeDecodeError as e:
        raise ManifestError(f"{where}: not UTF-8 ({e.reason} at byte {e.start})") from e
    except json.JSONDecodeError as e:
        raise ManifestError(f"{where}: not valid JSON: {e.msg} at column {e.colno}") from e
    except ValueError as e:
        raise ManifestError(f"{where}: not valid JSON: {e}") from e
    except RecursionError as e:
        raise ManifestError(f"{where}: nested too deeply") from e


def check(record: Any, where: str, folder: str, *, audio: bool = True) -> Record:
    """The record with its path made absolute against ``folder``, or a `ManifestError`."""
    if not isinstance(record, dict):
        raise ManifestError(f"{where}: expected a JSON object, found {_kind(record)}")
    path = record.get("audio_filepath")
    if path is None and not audio:
        path = "/"
    if not isinstance(path, str) or not path or "\0" in path:
        raise ManifestError(f'{where}: "audio_filepath" must be the path of a file')
    for key in ("offset", "duration"):
        value = record.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value <= MOST_SECONDS):
            raise ManifestError(f'{where}: "{key}" must be seconds from 0 up, found {value!r}')
    if not path.startswith("/"):
        record["audio_filepath"] = os.path.normpath(os.path.join(folder, path))  # noqa: PTH118
    return record


def read_records(path: str, *, audio: bool = True) -> Iterator[Record]:
    """The records of a manifest, streaming; paths come out absolute, blank lines are skipped.

    ``audio=False`` takes lines without an ``audio_filepath`` too. Raises `ManifestError` naming
    file and line, `UsageError` where the file can't be read.
    """
    folder = str(Path(path).resolve().parent)
    with open_lines(path) as file:
        yield from parse_records(file, path, folder, audio=audio)


def read_input(source: str, *, audio: bool = True) -> Iterator[Record]:
    """`read_records` of a file, or of stdin where ``source`` is ``-``."""
    if source == "-":
        return parse_records(sys.stdin.buffer, "stdin", str(Path.cwd()), audio=audio)
    return read_records(source, audio=audio)


def parse_records(
    file: IO[bytes], name: str, folder: str, *, audio: bool = True
) -> Iterator[Record]:
    """As `read_records`, from an open file; ``name`` stands for it in errors."""
    for where, item in _items(file, name):
        value = parse_line(item, where) if isinstance(item, bytes) else item
        yield check(value, where, folder, audio=audio)


def content_lines(path: str) -> Iterator[tuple[str, bytes]]:
    """Where each line of a manifest stands and its bytes without the newline; no blank lines.

    Lines stream and are not looked into; only a JSON array is read at once, its items re-encoded.
    """
    with open_lines(path) as file:
        for where, item in _items(file, path):
            yield where, item if isinstance(item, bytes) else dump(item).encode()


def _items(file: IO[bytes], name: str) -> Iterator[tuple[str, Any]]:
    """Where each item stands and what it is: the bytes of a line, a value of a JSON array."""
    started = False
    for number, raw in enumerate(file, 1):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if not line.strip():
            continue
        if not started and line.lstrip().startswith(b"["):
            values = parse_line(line + file.read(), f"{name}, line {number}")
            for item, value in enumerate(values, 1):
                yield f"{name}, item {item}", value
            return
        started = True
        yield f"{name}, line {number}", line.removesuffix(b"\n")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "a truth value"}
    return names.get(type(value), "a number")
