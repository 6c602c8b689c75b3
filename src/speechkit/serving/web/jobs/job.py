"""A job as its users see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from speechkit.runtime.logs import iso_time
from speechkit.serving.web.jobs.request import JobRequest

ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStatus:
    """A file of a job: ``number`` from 1, the user's ``name``, its length in ``seconds`` if known,
    ``seconds_done`` of it; ``state``: waiting, done or failed; ``error``: why, and its type."""

    number: int
    name: str
    seconds: float | None
    seconds_done: float = 0.0
    state: str = "waiting"
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``created``: seconds since 1970. ``state``: queued, running or one of `ENDED`. ``error`` and
    its type: why it failed as a whole. ``flags``: how many files have each. ``on_cluster``: it was
    handed to SLURM."""

    id: str
    created: float
    state: str
    error: str | None
    error_type: str | None
    request: JobRequest
    files: tuple[FileStatus, ...]
    flags: dict[str, int]
    on_cluster: bool

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """Of all files; None where one is unknown."""
        known = [file.seconds for file in self.files if file.seconds is not None]
        return round(sum(known), 3) if len(known) == len(self.files) else None

    @property
    def seconds_done(self) -> float:
        return round(sum(file.seconds_done for file in self.files), 3)

    @property
    def failed_files(self) -> int:
        return sum(file.state == "failed" for file in self.files)

    def progress_json(self) -> dict[str, Any]:
        return {
            "seconds_done": self.seconds_done,
            "seconds": self.seconds,
            "files_done": sum(file.state != "waiting" for file in self.files),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created": iso_time(self.created),
            "state": self.state,
            "error": self.error,
            "origin": self.request.origin,
            "engine": self.request.engine,
            "model": self.request.model and PurePath(self.request.model).name,
            "language": self.request.language,
            "files": [
                {
                    "number": file.number,
                    "name": file.name,
                    "seconds": file.seconds,
                    "state": file.state,
                    "error": file.error,
                }
                for file in self.files
            ],
            "seconds_done": self.seconds_done,
            "seconds": self.seconds,
            "flags": self.flags,
            "on_cluster": self.on_cluster,
        }
