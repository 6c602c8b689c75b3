"""The jobs of a server: kept on disk, run in two lanes, and removed after a while.

A run needs nothing but the job's folder, and what has ended is told by the folder alone. So a
server that is killed at any moment goes on with every job that has not ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from speechkit.errors import SpeechkitError
from speechkit.io.atomic import output_errors, sync_folder
from speechkit.records import Record
from speechkit.serving.web.cluster import Cluster
from speechkit.serving.web.jobs import results, store
from speechkit.serving.web.jobs.events import JobEvent, JobFeed
from speechkit.serving.web.jobs.job import ENDED, Job
from speechkit.serving.web.jobs.kept_job import KeptJob
from speechkit.serving.web.jobs.request import JobRequest
from speechkit.serving.web.jobs.results import ResultReader
from speechkit.serving.web.jobs.run_queue import RunQueue
from speechkit.serving.web.jobs.store import NewJob
from speechkit.serving.web.jobs.transcriber import Run
from speechkit.serving.web.request_errors import NotFound, Stopping, TooManyRequests
from speechkit.serving.web.settings import ServerSettings
from speechkit.serving.web.workers.warm_workers import LaneName

log = logging.getLogger(__name__)

AT_ONCE: dict[LaneName, int] = {"quick": 64, "bulk": 4}  # jobs that run together
CLOSING_SECONDS = 3.0  # for the runs to end
RETRY_AFTER = 10  # seconds
KEEPING_SECONDS = 5.0  # between two looks for what is to be removed
CLUSTER_SECONDS = 15.0  # between two looks at the jobs there


@dataclass(frozen=True, slots=True)
class JobTotals:
    """``by_state``: jobs that there are; since the start of the server: ``audio_seconds`` done, and
    ``failed_files``."""

    by_state: dict[str, int]
    audio_seconds: float
    failed_files: int


class Jobs:
    """All jobs in the folder ``jobs`` of the data, which belong to this server alone. Any thread
    may call it. ``run``: runs a job. Raises `OutputFailed`."""

    def __init__(self, settings: ServerSettings, run: Run) -> None:
        self._settings = settings
        self._folder = settings.data.absolute() / "jobs"
        self._run = run
        self._cluster = Cluster(settings.hardware, settings.sbatch)
        self._closing = threading.Event()
        self._starting = threading.Lock()
        with output_errors(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self._folder.parent)
            self._jobs = {job.description.id: job for job in _kept(self._folder)}
        self._lanes = {lane: RunQueue(count) for lane, count in AT_ONCE.items()}
        self._audio_seconds, self._failed_files = 0.0, 0
        for job in self._jobs.values():
            if job.is_for_here:
                self._start(job)
        for look, seconds in ((self._remove_old, KEEPING_SECONDS), (self._follow, CLUSTER_SECONDS)):
            threading.Thread(target=self._repeat, args=(look, seconds), daemon=True).start()

    def close(self) -> None:
        """Stop all runs, which the next server goes on with, and the events of all watchers."""
        with self._starting:
            self._closing.set()
            for job in list(self._jobs.values()):
                job.stop()
                job.watchers.notify()
        for lane in self._lanes.values():
            lane.close(CLOSING_SECONDS)

    def require_room(self, client: str) -> None:
        """Raise `TooManyRequests` where this client can't submit a job now."""
        unfinished = [job for job in list(self._jobs.values()) if job.state not in ENDED]
        own = sum(job.description.client == client for job in unfinished)
        if len(unfinished) >= self._settings.max_queue:
            raise _full(f"{len(unfinished)} jobs are waiting or running")
        if own >= self._settings.per_client:
            raise _full(f"{own} of your jobs are waiting or running")

    def new(self) -> AbstractContextManager[NewJob]:
        """A folder for uploads, which is removed unless it is submitted before the block ends."""
        return store.new_job(self._folder)

    def submit(self, new: NewJob, request: JobRequest, client: str) -> Job:
        """Make a job of the uploads, on disk, and queue it.

        Raise `UsageError`, `OutputFailed` and `TooManyRequests`.
        """
        request.check()
        self.require_room(client)
        job = KeptJob(new.folder, new.save(request, client))
        self._jobs[new.id] = job
        self._start(job)
        return job.view()

    def get(self, id: str) -> Job:
        """Raise `NotFound`."""
        return self.kept(id).view()

    def all(self) -> list[Job]:
        """The newest first."""
        jobs = [job.view() for job in list(self._jobs.values())]
        return sorted(jobs, key=lambda job: job.created, reverse=True)

    def kept(self, id: str) -> KeptJob:
        """Raise `NotFound`."""
        job = self._jobs.get(id)
        if job is None:
            raise NotFound("there is no such job, or it has been removed")
        return job

    def records(self, id: str) -> dict[int, Record]:
        """The records that there are, by the number of the file, from 1. Raise `NotFound`."""
        found = results.records(results.all_results(self.kept(id).folder))
        return {index + 1: record for index, record in found.items()}

    def record(self, id: str, number: int) -> Record:
        """The record of one file. Raise `NotFound`, also where there is none yet."""
        record = self.records(id).get(number)
        if record is None:
            raise NotFound(f"the job has no transcript of a file {number} yet")
        return record

    def totals(self) -> JobTotals:
        states = Counter(job.state for job in list(self._jobs.values()))
        return JobTotals(dict(states), self._audio_seconds, self._failed_files)

    def cancel(self, id: str) -> Job:
        """End a job that is queued or runs; what is done of it stays. Raise `NotFound`."""
        job = self.kept(id)
        job.cancel()
        return job.view()

    def again(self, id: str) -> Job:
        """Go on with a job that was cancelled or has failed, or transcribe its failed files again.

        Raise `NotFound`, `TooManyRequests`, and `Conflict` where there is nothing to do.
        """
        job = self.kept(id)
        self.require_room(job.description.client)
        job.reopen()
        self._start(job)
        return job.view()

    def hand_over(self, id: str) -> Job:
        """Let the cluster run a job that has not ended. Raise as `KeptJob.hand_over`."""
        job = self.kept(id)
        job.hand_over(self._cluster)
        return job.view()

    def delete(self, id: str) -> None:
        """Remove a job and all its files; one that runs is cancelled first. Raise `NotFound`."""
        job = self.kept(id)
        self._jobs.pop(id, None)
        job.remove()

    async def finished(self, id: str) -> Job:
        """The job once it has ended. Raise `NotFound`, also where it is removed meanwhile."""
        job = self.kept(id)
        with job.watchers.watch() as changed:
            while not (view := self.get(id)).has_ended:
                if self._closing.is_set():
                    raise Stopping("the server is stopping; the job goes on when it starts again")
                await changed.wait()
                changed.clear()
        return view

    async def events(self, id: str) -> AsyncGenerator[JobEvent, None]:
        """The events of a job until it ends or is removed: `job` first, and what is there already.

        Raise `NotFound`.
        """
        job = self.kept(id)
        reader = ResultReader(job.folder)
        feed = JobFeed(reader)
        try:
            with job.watchers.watch() as changed:
                while id in self._jobs and not self._closing.is_set():
                    changed.clear()
                    view = job.view()
                    for event in await asyncio.to_thread(feed.new, view):
                        yield event
                    if view.has_ended:
                        return
                    await changed.wait()
        finally:
            reader.close()

    def _start(self, job: KeptJob) -> None:
        with self._starting:
            if not self._closing.is_set():  # else the next server runs it
                self._lanes[job.lane].put(partial(self._work, job, job.queued()))

    def _work(self, job: KeptJob, cancel: threading.Event) -> None:
        before = job.view()
        job.run(self._run, cancel)
        after = job.view()
        with self._starting:
            self._audio_seconds += max(0.0, after.seconds_done - before.seconds_done)
            self._failed_files += max(0, after.failed_files - before.failed_files)

    def _repeat(self, look: Callable[[KeptJob], None], seconds: float) -> None:
        while not self._closing.wait(seconds):
            for job in list(self._jobs.values()):
                try:
                    look(job)
                except (OSError, SpeechkitError) as e:
                    log.warning("a job can't be looked after: %s", e)

    def _remove_old(self, job: KeptJob) -> None:
        over = job.folder.touched() + self._settings.keep
        if job.state in ENDED and time.time() > over:
            self.delete(job.description.id)

    def _follow(self, job: KeptJob) -> None:
        if job.is_on_cluster and job.state not in ENDED:
            job.look_at_cluster(self._cluster)


def _kept(folder: Path) -> Iterator[KeptJob]:
    """The jobs of an earlier server."""
    for job_folder, description in store.stored(folder):
        try:
            yield KeptJob(job_folder, description)
        except (OSError, ValueError, LookupError) as e:
            log.warning("%s: can't be read, and its job is left out: %r", job_folder.output, e)


def _full(reason: str) -> TooManyRequests:
    return TooManyRequests(f"{reason}; try again later", retry_after=RETRY_AFTER)
