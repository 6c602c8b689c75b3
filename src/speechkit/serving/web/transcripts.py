"""The transcripts of a job for download: in every format, one by one or together."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from speechkit.errors import UsageError
from speechkit.formats import formats_of
from speechkit.formats.clean_text import one_line
from speechkit.io import manifest
from speechkit.io.file_names import shorten
from speechkit.records import Record
from speechkit.runtime.recordings import recording_of
from speechkit.serving.web import corrections
from speechkit.serving.web.jobs.store import JobFolder
from speechkit.serving.web.request_errors import Conflict

JSONL = "jsonl"  # the records themselves
FORMATS = formats_of("asr")
MEDIA_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt", JSONL: "application/x-ndjson"}
_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of a file, with the user's corrections. ``name``: the user's, of the file."""

    name: str
    record: Record

    @property
    def has_failed(self) -> bool:
        return self.record.get("error") is not None

    def text(self, form: str) -> str:
        """In a format. Raise `Conflict` for a file that has failed, and `UsageError` where the
        format needs what the transcript has not."""
        if form == JSONL:
            return manifest.dump(self.record) + "\n"
        recording = recording_of(stem(self.name), [self.record])
        if recording is None:
            raise Conflict(f"{one_line(self.name)}: has failed, and there is no transcript of it")
        return FORMATS[form].render([recording])


def transcript(folder: JobFolder, number: int, name: str, record: Record) -> Transcript:
    """That of a file, by its number; with a ``text`` if something was corrected."""
    changes = corrections.load(folder.corrections(number))
    return Transcript(name, corrections.corrected(record, changes) if changes else record)


def extension(form: str) -> str:
    """With its dot. Raise `UsageError` for what is no format."""
    if form == JSONL:
        return f".{JSONL}"
    if form not in FORMATS:
        raise UsageError(f"no format {form!r:.40}; there are: {', '.join([*FORMATS, JSONL])}")
    return FORMATS[form].extension


def media_type(form: str) -> str:
    return f"{MEDIA_TYPES.get(form, 'text/plain')}; charset=utf-8"


def archive(transcripts: Sequence[Transcript], form: str) -> bytes:
    """A zip with a file for each transcript; what has failed is listed in one of its own."""
    content = io.BytesIO()
    failed = [one_line(one.name) for one in transcripts if one.has_failed]
    whole = [one for one in transcripts if not one.has_failed]
    names = distinct([stem(one.name) for one in whole], extension(form))
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, one in zip(names, whole, strict=True):
            packed.writestr(name, one.text(form).encode())
        if failed:
            packed.writestr("failed/files.txt", "".join(f"{name}\n" for name in failed).encode())
    return content.getvalue()


def corrected_manifest(folder: JobFolder, records: dict[int, Record]) -> Iterator[bytes]:
    """A line for each file that was transcribed: ``text`` as corrected, ``pred_text`` as heard."""
    for number, record in sorted(records.items()):
        if record.get("error") is None:
            changes = corrections.load(folder.corrections(number))
            yield manifest.encoded(corrections.corrected(record, changes)) + b"\n"


def file_name(name: str) -> str:
    """The last part of a user's name of a file, as a name that any system takes."""
    last = one_line(name).replace("\\", "/").rstrip("/").rpartition("/")[2].lstrip(".")
    clean = "".join("_" if char in '<>:"|?*' else char for char in last)
    return shorten(clean, _NAME_BYTES) or "audio"


def stem(name: str) -> str:
    return os.path.splitext(file_name(name))[0]  # noqa: PTH122


def distinct(stems: Sequence[str], ending: str) -> list[str]:
    """File names with these stems, numbered where they would be alike."""
    taken: set[str] = set()
    names = []
    for one in stems:
        number, name = 1, one + ending
        while name.casefold() in taken:
            number += 1
            name = f"{one} ({number}){ending}"
        taken.add(name.casefold())
        names.append(name)
    return names


def disposition(kind: str, name: str) -> str:
    """A Content-Disposition (RFC 6266), ``kind`` inline or attachment, with any name."""
    plain = "".join(
        char if (char.isascii() and char.isalnum()) or char in ".-_ ()" else "_" for char in name
    )
    return (
        f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    )
