"""The inputs of a stage: files, folders, manifests and ``-`` (a manifest on stdin), mixed."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from speechkit.errors import UsageError
from speechkit.io import manifest
from speechkit.io.file_names import shown, unicode_hint
from speechkit.io.manifest_checks import lacks_audio
from speechkit.io.reference_texts import References
from speechkit.io.temporary_folder import temporary_errors
from speechkit.records import Record, Utterance

#: The suffixes a folder is searched for. A file named outright is taken whatever its suffix.
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".mp4", ".aac", ".webm"),
    *(".mka", ".mkv", ".mov", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"),
    *(".sph", ".wma", ".3gp", ".amr", ".ac3"),
)
_PIECE = 1 << 20  # bytes of stdin read at once
STDIN_SPOOL = 64 << 20  # bytes of stdin kept in memory before they go to a temporary file


@dataclass(frozen=True, slots=True)
class Scan:
    """The totals of one pass over the inputs; ``seconds`` is None where a duration is unknown.

    ``written``: the fingerprint with relative paths as they are written.
    """

    count: int
    fingerprint: str
    written: str
    seconds: float | None


class Inputs:
    """The utterances of the inputs in order; may be iterated repeatedly.

    Files and folders come with the reference texts beside them. Raise `UsageError` where an input
    does not exist or holds no audio. Malformed manifest lines end the iteration and raise
    `ManifestError` once all lines are read, so call `scan` before any work.
    """

    lacks = staticmethod(lacks_audio)

    def __init__(self, sources: Sequence[str], *, limit: int | None = None) -> None:
        self._limit = limit
        self._stack = ExitStack()
        self._stdin: IO[bytes] | None = None
        self._references = References()
        self._sources: list[str | list[Record]] = []
        for source in sources:
            self._sources.append(self._open(source))

    @property
    def sources(self) -> int:
        """The number of sources."""
        return len(self._sources)

    @property
    def manifests(self) -> list[str]:
        """The names of the files among the sources that are read line by line."""
        return [source for source in self._sources if isinstance(source, str) and source != "-"]

    def __enter__(self) -> Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def scan(self) -> Scan:
        """Read everything once. Raise `ManifestError`, which names the malformed lines."""
        digest, as_written = hashlib.sha256(), hashlib.sha256()
        count, seconds, known = 0, 0.0, True
        for utterance in self:
            count += 1
            record, written = utterance.record, utterance.written
            line = manifest.encoded(record) + b"\n"
            digest.update(line)
            if written != utterance.audio:
                line = manifest.encoded({**record, "audio_filepath": written}) + b"\n"
            as_written.update(line)
            if utterance.duration is None:
                known = False
            else:
                seconds += utterance.duration
        if count == 0 and self._stdin:
            raise UsageError("stdin: no utterance came in; did the stage before this one fail?")
        seconds_known = seconds if known else None
        return Scan(count, digest.hexdigest(), as_written.hexdigest(), seconds_known)

    def __iter__(self) -> Iterator[Utterance]:
        records = islice(self._records(), self._limit)
        return (utterance(index, *record) for index, record in enumerate(records))

    def _records(self) -> Iterator[tuple[Record, str]]:
        """Each record with its path as it is written."""
        faults = manifest.Faults()
        for source in self._sources:
            if isinstance(source, list):
                yield from ((record, record["audio_filepath"]) for record in source)
            else:
                yield from self._read(source, faults)
        faults.refuse()

    def _read(self, source: str, faults: manifest.Faults) -> Iterator[tuple[Record, str]]:
        """The records of a manifest."""
        with self._opened(source) as (file, name, folder):
            yield from manifest.written_records(file, name, folder, self.lacks, faults)

    @contextmanager
    def _opened(self, source: str) -> Iterator[tuple[IO[bytes], str, str]]:
        """The file of a manifest, its name, and the folder that its paths are relative to."""
        if source == "-":
            assert self._stdin
            self._stdin.seek(0)
            yield self._stdin, "stdin", str(Path.cwd())
        else:
            with manifest.open_lines(source) as file:
                yield file, source, manifest.folder_of(source)

    def _open(self, source: str) -> str | list[Record]:
        if source == "-":
            if self._stdin is None:
                self._stdin = self._stack.enter_context(_spooled())
            return "-"
        if Path(source).is_dir():
            paths = walk(source)
            if not paths:
                raise UsageError(f"{source}: no audio in this folder")
            return [self._record(path, source) for path in paths]
        if not Path(source).exists():
            raise UsageError(f"{shown(source)}: no such file or folder{unicode_hint(source)}")
        if manifest.is_manifest(source):
            if not Path(source).is_file():
                raise UsageError(f"{source}: is not a regular file; a pipe is read as - (stdin)")
            return source
        return [self._record(os.path.abspath(source), str(Path(source).parent))]  # noqa: PTH100

    def _record(self, path: str, root: str) -> Record:
        text = self._references.find(path, root)
        return {"audio_filepath": path, **({} if text is None else {"text": text})}


def _spooled() -> IO[bytes]:
    """A temporary file with all of stdin."""
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=STDIN_SPOOL)  # noqa: SIM115
    try:
        while True:
            with manifest.stdin_errors():
                piece = sys.stdin.buffer.read(_PIECE)
            with temporary_errors():
                spool.write(piece)
                if not piece:
                    spool.flush()  # a full disk is reported here
                    return spool
    except BaseException:
        with suppress(OSError):  # closing flushes once more
            spool.close()
        raise


def utterance(index: int, record: Record, written: str = "") -> Utterance:
    """The utterance of a manifest line; a duration of 0 or null means to the end."""
    return Utterance(
        index=index,
        audio=record.get("audio_filepath", ""),
        offset=float(record.get("offset") or 0.0),
        duration=float(record["duration"]) if record.get("duration") else None,
        record=record,
        written=written,
    )


def walk(folder: str) -> list[str]:
    """Absolute paths of the audio below a folder, sorted; linked folders are followed once.

    Hidden names are skipped. A folder that is itself named like audio (``a.wav/``) is listed, so
    that it becomes an error record instead of being dropped silently.
    """
    paths: list[str] = []
    seen: set[str] = set()
    root = os.path.abspath(folder)  # noqa: PTH100
    for place, folders, names in os.walk(root, followlinks=True, onerror=_refuse):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += (
            os.path.join(place, name)  # noqa: PTH118
            for name in [*folders, *names]
            if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
        )
    return sorted(paths)


def _refuse(error: OSError) -> None:
    raise UsageError(
        f"{shown(error.filename)}: a folder that can't be read: {error.strerror}"
    ) from error
