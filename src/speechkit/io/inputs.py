"""What a stage is given: files, folders, manifests and ``-`` (a manifest on stdin), mixed."""

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
from speechkit.io.judge import lacks_audio
from speechkit.io.references import References
from speechkit.io.scratch import temporary_errors
from speechkit.records import Record, Utterance

#: What a folder is searched for. A file named outright is taken whatever its suffix.
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".mp4", ".aac", ".webm"),
    *(".mka", ".mkv", ".mov", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"),
    *(".sph", ".wma", ".3gp", ".amr", ".ac3"),
)
_PIECE = 1 << 20  # bytes of stdin read at once
STDIN_SPOOL = 64 << 20  # bytes of stdin kept in memory before they go to a temporary file


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over the inputs finds; ``seconds`` is None where a duration is unknown.
    ``written``: the fingerprint with relative paths left as they are written."""

    count: int
    fingerprint: str
    written: str
    seconds: float | None


class Inputs:
    """The utterances of the inputs, in order, as often as they are asked for.

    Files and folders come with the reference texts that lie beside them.
    Raises `UsageError` where an input does not exist or holds no audio. Malformed manifest lines
    end the utterances, and raise `ManifestError` when all are read, so `scan` before any work.
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
        """How many there are."""
        return len(self._sources)

    @property
    def manifests(self) -> list[str]:
        """The names of the files among the sources that are read line by line."""
        return [one for one in self._sources if isinstance(one, str) and one != "-"]

    def __enter__(self) -> Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def scan(self) -> Scan:
        """Reads everything once: every line is well-formed, or a `ManifestError` says which not."""
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
        found = enumerate(islice(self._records(), self._limit))
        return (utterance(index, *one) for index, one in found)

    def _records(self) -> Iterator[tuple[Record, str]]:
        """Each with its path as it is written."""
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
        """The file of a manifest, its name, and the folder that its paths are meant from."""
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
        path = Path(source)
        if path.is_dir():
            found = walk(source)
            if not found:
                raise UsageError(f"{source}: no audio in this folder")
            return [self._record(one, source) for one in found]
        if not path.exists():
            raise UsageError(f"{shown(source)}: no such file or folder{unicode_hint(source)}")
        if manifest.is_manifest(source):
            if not path.is_file():
                raise UsageError(f"{source}: is not a regular file; a pipe is read as - (stdin)")
            return source
        return [self._record(os.path.abspath(source), str(path.parent))]  # noqa: PTH100

    def _record(self, path: str, root: str) -> Record:
        text = self._references.find(path, root)
        return {"audio_filepath": path, **({} if text is None else {"text": text})}


def _spooled() -> IO[bytes]:
    """All that comes on stdin."""
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=STDIN_SPOOL)  # noqa: SIM115
    try:
        while True:
            with manifest.stdin_errors():
                piece = sys.stdin.buffer.read(_PIECE)
            with temporary_errors():
                spool.write(piece)
                if not piece:
                    spool.flush()  # what it still holds has room now, or a sentence says it hasn't
                    return spool
    except BaseException:
        with suppress(OSError):  # it tries once more
            spool.close()
        raise


def utterance(index: int, record: Record, written: str = "") -> Utterance:
    """The utterance a manifest line describes; a duration of 0 or null means to the end."""
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

    Hidden names are passed over. A folder that is itself named like audio (``a.wav/``) is listed,
    so that it becomes an error record instead of a silence.
    """
    found: list[str] = []
    seen: set[str] = set()
    root = os.path.abspath(folder)  # noqa: PTH100
    for place, folders, names in os.walk(root, followlinks=True, onerror=_refuse):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += (
            os.path.join(place, name)  # noqa: PTH118
            for name in [*folders, *names]
            if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
        )
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise UsageError(
        f"{shown(error.filename)}: a folder that can't be read: {error.strerror}"
    ) from error
