"""Discrete units in: manifests with ``units``, and the plain text that unit language models write.

Of text each line is an utterance, ``name|71 12 4`` or ``71 12 4`` alone, which is then named after
its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from speechkit.errors import ManifestError, UsageError
from speechkit.io import manifest
from speechkit.io.inputs import Inputs
from speechkit.records import Record

SUFFIXES = (".units", ".txt")
_LINE = re.compile(r"(?:(?P<name>[^|]+)\|)?(?P<units>\s*(?:[0-9]{1,9}(?:\s+|$))*)")
MOST_FRAMES = 10_000_000  # of an utterance, 55 hours: more is a mistake


class UnitInputs(Inputs):
    """`Inputs` of manifests and text files whose utterances are units; audio isn't looked at."""

    def _records(self) -> Iterator[Record]:
        for source in self._sources:
            assert isinstance(source, str)
            if source == "-":
                assert self._stdin
                self._stdin.seek(0)
                yield from _of_stdin(self._stdin)
            elif manifest.is_manifest(source):
                yield from map(_checked, manifest.read_records(source, audio=False))
            else:
                with manifest.open_lines(source) as file:
                    yield from _of_text(file, source, Path(source).stem)

    def _open(self, source: str) -> str | list[Record]:
        if source == "-" or manifest.is_manifest(source):
            return super()._open(source)
        if not source.endswith(SUFFIXES):
            raise UsageError(
                f"{source}: --from-units takes manifests and text ({', '.join(SUFFIXES)})"
            )
        if not Path(source).is_file():
            raise UsageError(f"{source}: no such file")
        return source


def _of_stdin(file: IO[bytes]) -> Iterator[Record]:
    is_json = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    file.seek(0)
    if is_json:
        return map(_checked, manifest.parse_records(file, "stdin", str(Path.cwd()), audio=False))
    return _of_text(file, "stdin", "stdin")


def _of_text(file: IO[bytes], source: str, stem: str) -> Iterator[Record]:
    for number, raw in enumerate(file, 1):
        where = f"{source}, line {number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as e:
            raise ManifestError(f"{where}: not UTF-8 ({e.reason} at byte {e.start})") from e
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if not match:
            raise ManifestError(f"{where}: expected name|71 12 4, found {line[:60]!r}")
        name = match["name"] or f"{stem}-{number:06d}"
        yield {"id": name, "units": [int(unit) for unit in match["units"].split()]}


def _checked(record: Record) -> Record:
    """Raises `ManifestError` for a line that states no units and failed in no earlier stage."""
    if record.get("error") is not None:
        return record
    name = manifest.name(record)
    if not name:
        raise ManifestError(f'a line with units needs "id" or "audio_filepath": {record!r:.100}')
    units, durations = record.get("units"), record.get("unit_durations")
    if not _are_numbers(units, least=0):
        raise ManifestError(f'{name}: "units" must be a list of numbers from 0 up (--from-units)')
    if durations is not None:
        if not _are_numbers(durations, least=1) or len(durations) != len(units):  # type: ignore[arg-type]
            raise ManifestError(f'{name}: "unit_durations" must be frames from 1 up, one a unit')
        if sum(durations) > MOST_FRAMES:
            raise ManifestError(f'{name}: "unit_durations" come to {sum(durations)} frames')
    return record


def _are_numbers(value: object, *, least: int) -> bool:
    return isinstance(value, list) and all(
        type(one) is int and least <= one < 1 << 31 for one in value
    )
