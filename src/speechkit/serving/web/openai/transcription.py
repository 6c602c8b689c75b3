"""A transcription that a request waits for: a job, of which nothing stays once it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from speechkit.records import Record
from speechkit.serving.web.jobs.job import Job
from speechkit.serving.web.jobs.request import JobRequest
from speechkit.serving.web.jobs.store import NewJob
from speechkit.serving.web.openai.parameters import Parameters
from speechkit.serving.web.openai.streaming import TextDeltas, delta_event, done_event
from speechkit.serving.web.request_errors import DiskFull, EngineTrouble, NotFound, RequestError
from speechkit.serving.web.server import Server
from speechkit.serving.web.uploads import Form
from speechkit.serving.web.waiting import unless, unless_stopping

T = TypeVar("T")

#: Errors of a recording that are no fault of its audio.
FAULTS = ("OutOfMemory", "WorkerDied", "TimeLimit")
#: By the type of the error of a whole job.
OF_JOBS = {"UsageError": RequestError, "OutputFailed": DiskFull}


@dataclass(frozen=True, slots=True)
class Transcription:
    """A job with one file. A job whose server stops is kept, and goes on at its next start."""

    server: Server
    id: str

    @classmethod
    def begin(
        cls,
        server: Server,
        new: NewJob,
        form: Form,
        wanted: Parameters,
        client: str,
        *,
        translate: bool,
    ) -> Transcription:
        """Submit the job. Raises `RequestError`, and `UsageError` for what the engine can't do."""
        files = [file for file in form.files if file.field == "file"]
        if len(files) != 1 or len(form.files) != 1:
            raise RequestError("send one audio file, in the field file", param="file")
        new.add(files[0].path, files[0].name)
        model = server.models.find_here(wanted.model)
        request = JobRequest(
            engine=model.engine,
            model=model.model,
            language=None if translate else wanted.language,
            prompt=wanted.prompt,
            temperature=wanted.temperature or None,
            translate=translate,
            words=True,
            origin="api",
        )
        return cls(server, server.jobs.submit(new, request, client).id)

    @contextmanager
    def discarded(self) -> Iterator[None]:
        """Remove the job when the block ends, whether it has ended or not."""
        try:
            yield
        finally:
            if not self.server.stopping.is_set():
                asyncio.get_running_loop().run_in_executor(None, self._discard)

    def _discard(self) -> None:
        with suppress(NotFound):  # removed by somebody else
            self.server.jobs.delete(self.id)

    async def record(self) -> Record:
        """The record, once it is there. Raises `RequestError` for a recording that has none."""
        job = await self.server.jobs.finished(self.id)
        _require_done(job)
        return await asyncio.to_thread(self.server.jobs.record, self.id, 1)

    async def events(self) -> AsyncIterator[bytes]:
        """The text as it is decoded, then all of it; removes the job. Raises as `record`."""
        with self.discarded():
            sent = TextDeltas()
            async for event in self.server.jobs.events(self.id):
                if event.name == "segments":
                    for text in sent.add(event.data):
                        yield delta_event(text)
            text = (await self.record())["pred_text"]
            for missing in sent.rest(text):
                yield delta_event(missing)
            yield done_event(text)

    async def unless_ended(self, request: Request, waiting: Awaitable[T]) -> T:
        """What is waited for, unless the client goes or the server stops before."""
        here = unless(waiting, _gone(request), ClientDisconnect())
        return await unless_stopping(here, self.server.stopping)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _require_done(job: Job) -> None:
    """Raise what is wrong: with the recording, or with the server."""
    if job.state == "cancelled":
        raise RequestError("the transcription was cancelled")
    file = job.files[0]
    if file.error:
        fault = EngineTrouble if file.error_type in FAULTS else RequestError
        raise fault(file.error, param="file")
    if job.error:
        raise OF_JOBS.get(job.error_type or "", EngineTrouble)(job.error)
