"""What the results of a job tell of its files so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from speechkit import keys
from speechkit.records import Record
from speechkit.serving.web.jobs.job import FileStatus
from speechkit.serving.web.jobs.results import Answered, Divided, Result
from speechkit.serving.web.jobs.store import JobFile


@dataclass(slots=True)
class FileProgress:
    """What the results tell of a file so far. ``seconds``: its length, as it has been estimated
    until it is decoded. ``parts``: lengths of those done, by number."""

    name: str
    seconds: float | None
    state: str = "waiting"
    error: str | None = None
    error_type: str | None = None
    flags: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    parts: dict[int, float] = field(default_factory=dict)

    def answer(self, record: Record) -> None:
        """Messages name the file as the user does."""
        error = record.get("error") or {}
        self.state = "failed" if error else "done"
        self.error = error.get("message", "").replace(record["audio_filepath"], self.name) or None
        self.error_type = error.get("type")
        self.flags = tuple(keys.flags_of(record))
        if not error:
            self.seconds = record["duration"]

    def divide(self, edges: tuple[float, ...]) -> None:
        self.edges, self.seconds, self.parts = edges, round(edges[-1], 3), {}

    def answer_part(self, number: int) -> None:
        if number + 1 < len(self.edges):
            self.parts[number] = self.edges[number + 1] - self.edges[number]

    @property
    def seconds_done(self) -> float:
        """A failed file is done with."""
        return sum(self.parts.values()) if self.state == "waiting" else self.seconds or 0.0

    def status(self, number: int) -> FileStatus:
        return FileStatus(
            number=number,
            name=self.name,
            seconds=self.seconds,
            seconds_done=self.seconds_done,
            state=self.state,
            error=self.error,
            error_type=self.error_type,
        )


class JobProgress:
    """What the results tell of a job's files so far."""

    def __init__(self, files: Sequence[JobFile]) -> None:
        self._files = [FileProgress(file.name, file.seconds) for file in files]

    def take(self, results: Iterable[Result]) -> None:
        for result in results:
            file = self._files[result.index]
            if isinstance(result, Answered):
                file.answer(result.record)
            elif isinstance(result, Divided):
                file.divide(result.division.edges)
            else:
                file.answer_part(result.number)

    @property
    def has_failures(self) -> bool:
        return any(file.state == "failed" for file in self._files)

    def forget_failures(self) -> None:
        """What has failed is transcribed again."""
        for file in self._files:
            if file.state == "failed":
                file.state, file.error, file.error_type = "waiting", None, None

    def files(self) -> tuple[FileStatus, ...]:
        return tuple(file.status(number) for number, file in enumerate(self._files, 1))

    def flags(self) -> dict[str, int]:
        """How many files have each flag."""
        return dict(Counter(flag for file in self._files for flag in set(file.flags)))
