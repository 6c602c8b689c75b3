"""Discrete units in: manifests with ``units``, and the plain text of unit language models.

A line of text is an utterance, ``name|71 12 4`` or ``71 12 4`` alone; the latter is named after its
file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from speechkit.errors import ManifestError, UsageError
from speechkit.io import manifest
from speechkit.io.inputs import Inputs
from speechkit.io.json_lines import MOST_BYTES, line_too_long, raw_lines
from speechkit.io.manifest_checks import lacks_units
from speechkit.records import Record

SUFFIXES = (".units", ".txt")
_LINE = re.compile(r"(?:(?P<name>[^|]+)\|)?(?P<units>\s*(?:[0-9]{1,9}(?:\s+|$))*)")


class UnitInputs(Inputs):
    """`Inputs` of manifests and text files whose utterances are units; no audio is read."""

    lacks = staticmethod(lacks_units)

    def _read(self, source: str, faults: manifest.Faults) -> Iterator[tuple[Record, str]]:
        with self._opened(source) as (file, name, folder):
            if manifest.is_manifest(source) or (source == "-" and _is_json(file)):
                yield from manifest.written_records(file, name, folder, self.lacks, faults)
            else:
                yield from ((record, "") for record in _of_text(file, name, faults))

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


def _is_json(file: IO[bytes]) -> bool:
    begins = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    file.seek(0)
    return begins in (b"{", b"[")


def _of_text(file: IO[bytes], source: str, faults: manifest.Faults) -> Iterator[Record]:
    """As `manifest.records`."""
    stem = Path(source).stem
    for number, raw in enumerate(raw_lines(file), 1):
        try:
            units = _units(raw, f"{source}, line {number}", f"{stem}-{number:06d}")
        except ManifestError as e:
            faults.add(str(e))
            continue
        if units and not faults.first:
            yield units


def _units(raw: bytes, where: str, name: str) -> Record | None:
    """The record of a line, None for a blank one. Raise `ManifestError`.

    ``name`` is for a line without a name.
    """
    if len(raw.removesuffix(b"\n")) > MOST_BYTES:
        raise line_too_long(where)
    try:
        line = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as e:
        raise ManifestError(f"{where}: not UTF-8 ({e.reason} at byte {e.start})") from e
    if not line:
        return None
    match = _LINE.fullmatch(line)
    if not match:
        raise ManifestError(f"{where}: expected name|71 12 4, found {line[:60]!r}")
    return {"id": match["name"] or name, "units": [int(unit) for unit in match["units"].split()]}
