"""Jobs on disk: a folder each, ``DATA/jobs/ID/``.

- ``job.json``: the `Description`. A folder without it is no job, but what an upload has left.
- ``audio/0001`` …: the uploads, under names of our own; the users' names are in job.json alone.
- ``input.jsonl``: the manifest of the uploads.
- ``asr.jsonl``: the results; while a run is at work, its journal ``asr.jsonl.part``.
- ``corrections/0001.json`` …: what the user has corrected in each file.

An upload is on disk, with the names of all its folders, before job.json appears.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from speechkit.errors import UsageError, UtteranceError
from speechkit.io import atomic, audio, manifest, safe_open, typed_json
from speechkit.io.part_file import part_path
from speechkit.serving.web.jobs.request import JobRequest

log = logging.getLogger(__name__)

ID = re.compile("[A-Za-z0-9_-]{22}")
_ID_BYTES = 16  # of chance
_MOST_BYTES = 64 << 20  # of job.json
QUEUED, RETRYING, ON_CLUSTER = "queued", "retrying", "on_cluster"
FAILED, CANCELLED = "failed", "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """An upload: the user's ``name`` for it, and its ``seconds`` as its header estimates them; None
    where it doesn't."""

    name: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What job.json holds.

    ``created``: seconds since 1970. ``state``: what is to be done, `QUEUED`, `RETRYING` (the failed
    files) or `ON_CLUSTER`, or how the run has ended without results, `FAILED` or `CANCELLED`. That
    it has ended with results is told by these alone. ``error`` and its type: why it failed.
    """

    id: str
    created: float
    client: str
    request: JobRequest
    files: tuple[JobFile, ...]
    state: str = QUEUED
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The files of a job."""

    path: Path

    @property
    def description(self) -> Path:
        return self.path / "job.json"

    @property
    def input(self) -> Path:
        return self.path / "input.jsonl"

    @property
    def output(self) -> Path:
        return self.path / "asr.jsonl"

    @property
    def journal(self) -> Path:
        return part_path(self.output)

    def audio(self, number: int) -> Path:
        """The upload of this number, from 1."""
        return self.path / "audio" / file_id(number)

    def corrections(self, number: int) -> Path:
        return self.path / "corrections" / f"{file_id(number)}.json"

    def save(self, description: Description) -> None:
        """Raise `OutputFailed`."""
        text = json.dumps(asdict(description), indent=1) + "\n"  # in ASCII, whatever the names
        atomic.write_text(self.description, text)

    def load(self) -> Description:
        """Raise OSError, and ValueError where job.json is none of ours."""
        text = safe_open.read_bounded(self.description, _MOST_BYTES)
        return typed_json.to_dataclass(Description, typed_json.parse(text))

    def touched(self) -> float:
        """When something of the job has last changed, in seconds since 1970."""
        times = [self.path.stat().st_mtime]
        for path in (self.description, self.output, self.corrections(1).parent):
            with suppress(FileNotFoundError):
                times.append(path.stat().st_mtime)
        return max(times)

    def remove(self) -> None:
        """Once job.json is gone, there is no job, even if the rest is left by a kill."""
        self.description.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            atomic.sync_folder(self.path)
        shutil.rmtree(self.path, ignore_errors=True)


def file_id(number: int) -> str:
    """The name of an upload on disk, and its id in the manifest."""
    return f"{number:04}"


class NewJob:
    """The folder of uploads that are becoming a job."""

    def __init__(self, jobs: Path) -> None:
        self.id = secrets.token_urlsafe(_ID_BYTES)
        self.folder = JobFolder(jobs / self.id)
        self.names: list[str] = []
        self._uploads = 0
        self.is_submitted = False
        with atomic.output_errors(self.folder.path):
            self.folder.path.mkdir(mode=0o700)
            self.folder.audio(1).parent.mkdir()

    def path_for_upload(self) -> Path:
        """Where the next file goes: a new path each time."""
        self._uploads += 1
        return self.folder.audio(self._uploads)

    def add(self, path: Path, name: str) -> None:
        """Take in a file that has come in. ``path``: the next of `path_for_upload`; ``name``: the
        user's own."""
        assert path == self.folder.audio(len(self.names) + 1)
        self.names.append(name)

    def save(self, request: JobRequest, client: str) -> Description:
        """Make it a job that outlives everything. Raise `UsageError` without a file, and
        `OutputFailed`."""
        if not self.names:
            raise UsageError("no file came with the request; send at least one")
        paths = [self.folder.audio(number) for number in range(1, len(self.names) + 1)]
        with atomic.output_errors(self.folder.path):
            for path in paths:
                atomic.sync_file(path)
            atomic.sync_folder(paths[0].parent)
            atomic.sync_folder(self.folder.path.parent)
        lines = (
            {"audio_filepath": f"{path.parent.name}/{path.name}", "id": path.name} for path in paths
        )
        with atomic.publish(self.folder.input) as file:
            file.writelines(manifest.encoded(line) + b"\n" for line in lines)
        seconds = map(_estimated_seconds, paths)
        files = (
            JobFile(name=name, seconds=known)
            for name, known in zip(self.names, seconds, strict=True)
        )
        description = Description(
            id=self.id, created=time.time(), client=client, request=request, files=tuple(files)
        )
        self.folder.save(description)
        self.is_submitted = True
        return description


@contextmanager
def new_job(jobs: Path) -> Iterator[NewJob]:
    """A folder for uploads, which is removed unless it becomes a job."""
    new = NewJob(jobs)
    try:
        yield new
    finally:
        if not new.is_submitted:
            new.folder.remove()


def stored(jobs: Path) -> list[tuple[JobFolder, Description]]:
    """All jobs, the oldest first. What killed uploads have left is removed."""
    found = []
    for entry in os.scandir(jobs):
        folder = JobFolder(Path(entry.path))
        if not ID.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
            continue
        try:
            found.append((folder, folder.load()))
        except FileNotFoundError:
            folder.remove()
        except (OSError, ValueError) as e:
            log.warning("%s: can't be read, and its job is left out: %s", folder.description, e)
    return sorted(found, key=lambda job: job[1].created)


def _estimated_seconds(path: Path) -> float | None:
    """By the file's header, which may lie; 0 for what is no audio: nothing of it is transcribed."""
    try:
        return audio.estimated_seconds(str(path))
    except UtteranceError:
        return 0.0
