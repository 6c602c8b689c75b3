"""The jobs of a server: kept on disk, run in two lanes, and removed after a while.

A run needs nothing but the job's folder, and what has ended is told by the folder alone. So a
server that is killed at any moment goes on with every job that has not ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from speechkit.errors import JobConflict, QueueFull, UnknownJob
from speechkit.records import Record
from speechkit.serving.web.jobs import results, store
from speechkit.serving.web.jobs.events import JobEvent, JobFeed
from speechkit.serving.web.jobs.job import ENDED, Job
from speechkit.serving.web.jobs.kept_job import KeptJob
from speechkit.serving.web.jobs.request import JobRequest
from speechkit.serving.web.jobs.results import ResultReader
from speechkit.serving.web.jobs.store import NewJob
from speechkit.serving.web.jobs.transcriber import BULK, QUICK, Run

log = logging.getLogger(__name__)

AT_ONCE = {QUICK: 64, BULK: 4}  # jobs that run together, by lane
KEEPING_SECONDS = 5.0  # between two looks for what is to be removed


class Jobs:
    """All jobs in ``folder``, which belongs to this server alone. Any thread may call it.

    ``run``: runs a job. ``keep``: seconds until a job that has ended is removed, after its last
    change. ``max_queue``, ``per_client``: unfinished jobs, of all and of one client. Raises
    `OutputConflict` where another server has the folder.
    """

    def __init__(
        self, folder: Path, run: Run, *, keep: float, max_queue: int, per_client: int
    ) -> None:
        self._folder = folder
        self._run = run
        self._keep = keep
        self._max_queue, self._per_client = max_queue, per_client
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._claim = ExitStack()
        self._claim.enter_context(store.claimed(folder))
        self._lanes = {
            lane: ThreadPoolExecutor(count, thread_name_prefix=f"{lane}-job")
            for lane, count in AT_ONCE.items()
        }
        self._jobs = {
            description.id: KeptJob(job, description) for job, description in store.stored(folder)
        }
        for job in self._jobs.values():
            if job.is_for_here:
                self._start(job)
        self._keeper = threading.Thread(target=self._keep_house, name="jobs-keeper", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Stop all runs, which the next server goes on with, and the events of all watchers."""
        with self._starting:
            self._closing.set()
            for job in list(self._jobs.values()):
                job.stop()
                job.watchers.notify()
        for lane in self._lanes.values():
            lane.shutdown(cancel_futures=True)
        self._keeper.join()
        self._claim.close()

    def require_room(self, client: str) -> None:
        """Raise `QueueFull` where this client can't submit a job now."""
        unfinished = [job for job in list(self._jobs.values()) if job.state not in ENDED]
        own = sum(job.description.client == client for job in unfinished)
        if len(unfinished) >= self._max_queue:
            raise QueueFull(f"{len(unfinished)} jobs are waiting or running; try again later")
        if own >= self._per_client:
            raise QueueFull(f"{own} of your jobs are waiting or running; try again later")

    def new(self) -> AbstractContextManager[NewJob]:
        """A folder for uploads, which is removed unless it is submitted before the block ends."""
        return store.new_job(self._folder)

    def submit(self, new: NewJob, request: JobRequest, client: str) -> Job:
        """Make a job of the uploads, on disk, and queue it. Raise `UsageError`, `QueueFull`."""
        request.check()
        self.require_room(client)
        job = KeptJob(new.folder, new.save(request, client))
        self._jobs[new.id] = job
        self._start(job)
        return job.view()

    def get(self, id: str) -> Job:
        """Raise `UnknownJob`."""
        return self.kept(id).view()

    def all(self) -> list[Job]:
        """The newest first."""
        jobs = [job.view() for job in list(self._jobs.values())]
        return sorted(jobs, key=lambda job: job.created, reverse=True)

    def kept(self, id: str) -> KeptJob:
        """Raise `UnknownJob`."""
        job = self._jobs.get(id)
        if job is None:
            raise UnknownJob("there is no such job, or it has been removed")
        return job

    def records(self, id: str) -> dict[int, Record]:
        """The records that there are, by the number of the file, from 1. Raise `UnknownJob`."""
        found = results.records(results.all_results(self.kept(id).folder))
        return {index + 1: record for index, record in found.items()}

    def cancel(self, id: str) -> Job:
        """End a job that is queued or runs; what is done of it stays. Raise `UnknownJob`."""
        job = self.kept(id)
        job.cancel()
        return job.view()

    def again(self, id: str) -> Job:
        """Go on with a job that was cancelled or has failed, or transcribe its failed files again.

        Raise `UnknownJob`, `QueueFull`, and `JobConflict` where there is nothing to do.
        """
        job = self.kept(id)
        self.require_room(job.description.client)
        job.reopen()
        self._start(job)
        return job.view()

    def delete(self, id: str) -> None:
        """Remove a job and all its files; one that runs is cancelled first. Raise `UnknownJob`."""
        job = self.kept(id)
        self._jobs.pop(id, None)
        job.remove()

    async def finished(self, id: str) -> Job:
        """The job once it has ended. Raise `UnknownJob`, also where it is removed meanwhile."""
        job = self.kept(id)
        with job.watchers.watch() as changed:
            while not (view := self.get(id)).has_ended:
                if self._closing.is_set():
                    raise JobConflict(
                        "the server is stopping; the job goes on when it starts again"
                    )
                await changed.wait()
                changed.clear()
        return view

    async def events(self, id: str) -> AsyncGenerator[JobEvent, None]:
        """The events of a job until it ends or is removed: `job` first, and what is there already.

        Raise `UnknownJob`.
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
                self._lanes[job.lane].submit(job.run, self._run, job.queued())

    def _keep_house(self) -> None:
        while not self._closing.wait(KEEPING_SECONDS):
            for id, job in list(self._jobs.items()):
                try:
                    if job.state in ENDED and time.time() > job.folder.touched() + self._keep:
                        self.delete(id)
                except (OSError, UnknownJob) as e:
                    log.warning("a job can't be looked after: %s", e)
