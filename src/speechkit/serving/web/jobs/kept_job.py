"""One job of a running server: its description, its progress, and its run."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from speechkit.errors import OutputFailed, SpeechkitError
from speechkit.serving.web import cluster
from speechkit.serving.web.cluster import Cluster
from speechkit.serving.web.jobs.events import Watchers
from speechkit.serving.web.jobs.job import ENDED, Job
from speechkit.serving.web.jobs.progress import JobProgress
from speechkit.serving.web.jobs.results import ResultReader
from speechkit.serving.web.jobs.store import (
    CANCELLED,
    FAILED,
    ON_CLUSTER,
    QUEUED,
    RETRYING,
    Description,
    JobFolder,
)
from speechkit.serving.web.jobs.transcriber import Run
from speechkit.serving.web.request_errors import Conflict
from speechkit.serving.web.workers.warm_workers import QUICK_SECONDS, LaneName

log = logging.getLogger(__name__)


class KeptJob:
    """A job; any thread may call it. ``folder``: its files. ``watchers``: who waits for it."""

    def __init__(self, folder: JobFolder, description: Description) -> None:
        self.folder = folder
        self.description = description
        self.watchers = Watchers()
        self._cancel = threading.Event()  # of the latest run
        self._running = threading.Lock()  # held by a run: there is one at a time
        self._changing = threading.Lock()
        self._is_removed = False
        self._progress = JobProgress(description.files)
        self._reader = ResultReader(folder)
        self.look()

    @property
    def lane(self) -> LaneName:
        """By the audio that the headers state: a job that lies about it delays its like alone."""
        seconds = [file.seconds for file in self.description.files]
        known = [one for one in seconds if one is not None]
        is_quick = len(known) == len(seconds) and sum(known) <= QUICK_SECONDS
        return "quick" if is_quick else "bulk"

    @property
    def is_for_here(self) -> bool:
        """Whether it has not ended, and is for this machine to run."""
        return self.state == "queued"

    @property
    def is_on_cluster(self) -> bool:
        """Whether a cluster runs it, or has run it."""
        return self.description.state == ON_CLUSTER

    @property
    def state(self) -> str:
        """As in `Job`. The description tells what is to be done; the output, that it is."""
        state = self.description.state
        if state == FAILED:
            return "failed"
        if state != RETRYING and self.folder.output.exists():
            return "done"
        if state == CANCELLED:
            return "cancelled"
        return "running" if self._running.locked() or self.is_on_cluster else "queued"

    def view(self) -> Job:
        state = self.state  # first: what has ended has all its results
        self.look()
        description = self.description
        with self._changing:
            return Job(
                id=description.id,
                created=description.created,
                state=state,
                error=description.error,
                error_type=description.error_type,
                request=description.request,
                files=self._progress.files(),
                flags=self._progress.flags(),
                on_cluster=self.is_on_cluster,
            )

    def look(self) -> None:
        """Take in the results that have come, whoever computes them."""
        with self._changing:
            self._progress.take(self._reader.new())
            if self.state in ENDED:  # there may be thousands
                self._reader.close()

    def queued(self) -> threading.Event:
        """Begin to wait for a run; return the event that stops it."""
        self._cancel = threading.Event()
        return self._cancel

    def run(self, run: Run, cancel: threading.Event) -> None:
        """Run it in this thread, unless it was stopped before; return when it has ended."""
        with self._running:
            try:
                if not cancel.is_set():
                    self.watchers.notify()
                    self._run(run, cancel)
            except Exception as e:
                if not cancel.is_set():
                    self._fail(e)
        self.watchers.notify()

    def stop(self) -> None:
        """End its run; the job stays as it is, for another run to go on with."""
        self._cancel.set()

    def cancel(self) -> None:
        """End it, unless it has ended. Raise `OutputFailed`."""
        with self._changing:
            if self.state in ENDED:
                return
            was_on_cluster = self.is_on_cluster
            self._save(replace(self.description, state=CANCELLED))
        self.stop()
        self.watchers.notify()
        if was_on_cluster:
            cluster.cancel(self.folder)

    def reopen(self) -> None:
        """Put what was cancelled, or has failed, back to what is to be done. Raise `Conflict`
        where nothing is, and `OutputFailed`."""
        with self._changing:
            state = self.state
            if state not in ENDED:
                raise Conflict("the job has not ended yet")
            if state == "done" and not self._progress.has_failures:
                raise Conflict("no file of this job has failed")
            if state == "done" and self.is_on_cluster:
                raise Conflict("a cluster has transcribed this job; send its failed files anew")
            todo = RETRYING if self.folder.output.exists() else QUEUED
            self._save(replace(self.description, state=todo, error=None, error_type=None))
            self._progress.forget_failures()
        self.watchers.notify()

    def remove(self) -> None:
        """Remove its files, once its run has ended."""
        with self._changing:
            self._is_removed = True
            was_on_cluster = self.is_on_cluster and self.state not in ENDED
            self.folder.description.unlink(missing_ok=True)  # from here on a kill can't revive it
        self.stop()
        self.watchers.notify()
        if was_on_cluster:
            cluster.cancel(self.folder)
        with self._running, self._changing:
            self._reader.close()
            self.folder.remove()

    def hand_over(self, to: Cluster) -> None:
        """Let the cluster run it, from the beginning. Raise `Conflict` for a job that has ended,
        `SchedulerFailed`, `UsageError` and `OutputFailed`."""
        with self._changing:
            if self.state == "done":
                raise Conflict("the job has ended")
            self._save(replace(self.description, state=ON_CLUSTER, error=None, error_type=None))
        self.stop()
        self.watchers.notify()
        with self._running:
            self.folder.journal.unlink(missing_ok=True)
            self._submit(to)

    def look_at_cluster(self, there: Cluster) -> None:
        """See what has become of it there. It is submitted where a kill came before that."""
        if not self._running.acquire(blocking=False):
            return
        try:
            found = cluster.status(self.folder)
            if found is None:
                self._submit(there)
            elif error := cluster.failure(found):
                self._fail(error)
        finally:
            self._running.release()
        self.watchers.notify()

    def _submit(self, to: Cluster) -> None:
        request, files = self.description.request, len(self.description.files)
        try:
            to.hand_over(self.folder, request, files)
        except SpeechkitError as e:
            self._fail(e)
            raise

    def _run(self, run: Run, cancel: threading.Event) -> None:
        retry = self.description.state == RETRYING
        run(
            self.description.request,
            self.folder,
            self.lane,
            retry=retry,
            progress=lambda _: self.watchers.notify(),
            cancel=cancel,
        )
        with self._changing:
            if retry and self.description.state == RETRYING:
                self._save(replace(self.description, state=QUEUED))

    def _fail(self, error: Exception) -> None:
        message = str(error).removeprefix("--")  # users of the server give no options
        if isinstance(error, OutputFailed):
            log.error("a job has failed: %s", error)
            message = "the server can't write its data; its log has more"
        elif not isinstance(error, SpeechkitError):
            log.error("a job has failed", exc_info=error)
            message = "internal error; the server's log has more"
        with self._changing:
            failed = replace(
                self.description, state=FAILED, error=message, error_type=type(error).__name__
            )
            try:
                self._save(failed)
            except OutputFailed as e:  # then the next server tries again
                log.error("the state of a failed job can't be kept: %s", e)
                self.description = failed

    def _save(self, description: Description) -> None:
        if not self._is_removed:
            self.folder.save(description)
        self.description = description
