"""What happens to a job, for those who watch it.

A watcher is only told that something has changed, and reads what from the files of the job. So a
slow one costs no memory, and one that comes late has missed nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from speechkit.serving.web.jobs.job import Job
from speechkit.serving.web.jobs.results import (
    Answered,
    Divided,
    PartAnswered,
    Result,
    ResultReader,
)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """``name``: job, progress, segments or end; ``data``: for JSON."""

    name: str
    data: dict[str, Any]


class Watchers:
    """Those who wait for a job, in whichever event loop; any thread may notify them."""

    def __init__(self) -> None:
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever something changes, until the block ends."""
        watcher = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.add(watcher)
        try:
            yield watcher[1]
        finally:
            with self._lock:
                self._waiting.discard(watcher)

    def notify(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for loop, event in waiting:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)


class SegmentFeed:
    """The segments of a job's results, each once: those of a file or, in parts, of a long one.

    Parts come in any order.
    """

    def __init__(self, reader: ResultReader) -> None:
        self._reader = reader
        self._parts: dict[int, set[int]] = {}  # of a file, those that are out
        self._whole: set[int] = set()  # files that are out

    def new(self) -> list[JobEvent]:
        events = (self._event(result) for result in self._reader.new())
        return [event for event in events if event]

    def _event(self, result: Result) -> JobEvent | None:
        if isinstance(result, Divided) or result.index in self._whole:
            return None
        parts = self._parts.setdefault(result.index, set())
        if isinstance(result, Answered):
            if result.record.get("error") is not None:
                return None
            self._whole.add(result.index)
            return None if parts else _whole_file(result)
        if result.number in parts:
            return None
        parts.add(result.number)
        return _part(result)


class JobFeed:
    """The events of a job, from its present state on."""

    def __init__(self, reader: ResultReader) -> None:
        self._segments = SegmentFeed(reader)
        self._shown: tuple[Any, ...] = ()
        self._progress: dict[str, Any] = {}

    def new(self, job: Job) -> list[JobEvent]:
        """What has come since the last call. ``job``: as it is now, before the results are read,
        so that all of those of a job that has ended are there."""
        events: list[JobEvent] = []
        shown = job.state, job.error, [(file.state, file.seconds) for file in job.files]
        if shown != self._shown and not (self._shown and job.has_ended):
            events.append(JobEvent("job", job.to_json()))
        self._shown = shown
        events += self._segments.new()
        progress = job.progress_json()
        if progress != self._progress:
            self._progress = progress
            events.append(JobEvent("progress", progress))
        if job.has_ended:
            events.append(JobEvent("end", job.to_json()))
        return events


def _whole_file(answer: Answered) -> JobEvent:
    record = answer.record
    text, segments = record["pred_text"], record["segments"]
    return JobEvent("segments", {"file": answer.index + 1, "text": text, "segments": segments})


def _part(answer: PartAnswered) -> JobEvent:
    part = {key: answer.result[key] for key in ("text", "spaced", "segments")}
    return JobEvent("segments", {"file": answer.index + 1, "part": answer.number, **part})
