"""The routes of the jobs: /api/jobs and all below it."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from speechkit.errors import UsageError
from speechkit.io import typed_json
from speechkit.serving.web import cluster, corrections, request_body, transcripts
from speechkit.serving.web.event_stream import EventStream, event
from speechkit.serving.web.jobs.kept_job import KeptJob
from speechkit.serving.web.jobs.request import JobRequest
from speechkit.serving.web.request_errors import NotFound
from speechkit.serving.web.server import Server
from speechkit.serving.web.uploads import Form, client_of

FIELDS = ("engine", "model", "language", "prompt", "translate")  # of a new job, beside its files
TRUTH = {"true": True, "false": False}
MOST_CORRECTIONS = 8 << 20  # bytes


def routes(server: Server) -> list[BaseRoute]:
    api = JobApi(server)
    file = "/api/jobs/{id}/files/{number}"
    return [
        Route("/api/jobs", api.create, methods=["POST"]),
        Route("/api/jobs", api.all),
        Route("/api/jobs/{id}", api.get),
        Route("/api/jobs/{id}", api.delete, methods=["DELETE"]),
        Route("/api/jobs/{id}/cancel", api.cancel, methods=["POST"]),
        Route("/api/jobs/{id}/again", api.again, methods=["POST"]),
        Route("/api/jobs/{id}/events", api.events),
        Route("/api/jobs/{id}/export.zip", api.export),
        Route("/api/jobs/{id}/corrected.jsonl", api.corrected),
        Route("/api/jobs/{id}/slurm", api.hand_over, methods=["POST"]),
        Route("/api/jobs/{id}/slurm", api.cluster_status),
        Route(f"{file}/audio", api.audio),
        Route(f"{file}/transcript", api.transcript),
        Route(f"{file}/transcript.{{format}}", api.download),
        Route(f"{file}/corrections", api.correct, methods=["PUT"]),
    ]


class JobApi:
    """Methods that aren't ``async`` run in threads: they read files, or write them for good."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._jobs = server.jobs

    async def create(self, request: Request) -> Response:
        client = client_of(request)
        self._jobs.require_room(client)
        with self._jobs.new() as new:
            form = await self._server.uploads.receive(request, new.path_for_upload)
            for file in form.files:
                new.add(file.path, file.name)
            wanted = await asyncio.to_thread(self._wanted, form)
            job = await asyncio.to_thread(self._jobs.submit, new, wanted, client)
        return _json(job.to_json(), 201)

    def _wanted(self, form: Form) -> JobRequest:
        """Raise `UsageError`, and `UnknownModel`."""
        unknown = sorted(form.fields.keys() - set(FIELDS))
        if unknown:
            raise UsageError(
                f"{unknown[0]!r:.40}: no field of a job; there are: {', '.join(FIELDS)}"
            )
        translate = form.text("translate") or "false"
        if translate not in TRUTH:
            raise UsageError("translate: true or false")
        model = self._server.models.find(form.text("model"), form.text("engine"))
        return JobRequest(
            engine=model.engine,
            model=model.model,
            language=form.text("language"),
            prompt=form.text("prompt"),
            translate=TRUTH[translate],
            origin="page",
        )

    def all(self, _: Request) -> Response:
        return _json([job.to_json() for job in self._jobs.all()])

    def get(self, request: Request) -> Response:
        return _json(self._jobs.get(_id(request)).to_json())

    def delete(self, request: Request) -> Response:
        self._jobs.delete(_id(request))
        return Response(status_code=204)

    def cancel(self, request: Request) -> Response:
        return _json(self._jobs.cancel(_id(request)).to_json())

    def again(self, request: Request) -> Response:
        return _json(self._jobs.again(_id(request)).to_json())

    def hand_over(self, request: Request) -> Response:
        id = _id(request)
        self._jobs.kept(id)
        if not cluster.is_there():
            raise UsageError("this server can't reach a cluster: there is no sbatch")
        return _json(self._jobs.hand_over(id).to_json())

    def cluster_status(self, request: Request) -> Response:
        found = cluster.status(self._jobs.kept(_id(request)).folder)
        if found is None:
            raise NotFound("the job was not handed to a cluster")
        return _json(cluster.to_json(found))

    async def events(self, request: Request) -> Response:
        id = _id(request)
        self._jobs.kept(id)  # raises before the answer begins
        return EventStream(self._events(id), self._server.stopping)

    async def _events(self, id: str) -> AsyncIterator[bytes]:
        async for one in self._jobs.events(id):
            yield event(one.name, one.data)

    def audio(self, request: Request) -> Response:
        job, number, name = self._file(request)
        kind = mimetypes.guess_type(name)[0] or ""
        playable = kind.startswith(("audio/", "video/"))
        return FileResponse(
            job.folder.audio(number),
            media_type=kind if playable else "application/octet-stream",
            headers={
                "Content-Disposition": transcripts.disposition(
                    "inline", transcripts.file_name(name)
                ),
                "Cache-Control": "private, max-age=3600",
            },
        )

    def transcript(self, request: Request) -> Response:
        """The record as the engine has made it, and the user's corrections beside it."""
        job, number, _ = self._file(request)
        record = self._jobs.record(job.description.id, number)
        changes = corrections.load(job.folder.corrections(number))
        return _json({**record, "corrections": corrections.to_json(changes)})

    def download(self, request: Request) -> Response:
        job, number, name = self._file(request)
        form = request.path_params["format"]
        ending = transcripts.extension(form)
        record = self._jobs.record(job.description.id, number)
        text = transcripts.transcript(job.folder, number, name, record).text(form)
        return _download(
            text.encode(), transcripts.stem(name) + ending, transcripts.media_type(form)
        )

    def export(self, request: Request) -> Response:
        job = self._jobs.kept(_id(request))
        form = request.query_params.get("format", "srt")
        transcripts.extension(form)
        records = self._jobs.records(job.description.id)
        found = [
            transcripts.transcript(job.folder, number, file.name, records[number])
            for number, file in enumerate(job.description.files, 1)
            if number in records
        ]
        packed = transcripts.archive(found, form)
        return _download(packed, f"transcripts-{form}.zip", "application/zip")

    def corrected(self, request: Request) -> Response:
        job = self._jobs.kept(_id(request))
        records = self._jobs.records(job.description.id)
        lines = b"".join(transcripts.corrected_manifest(job.folder, records))
        return _download(lines, "corrected.jsonl", transcripts.media_type(transcripts.JSONL))

    async def correct(self, request: Request) -> Response:
        pieces = request_body.pieces(request, MOST_CORRECTIONS, self._server.stopping)
        body = b"".join([piece async for piece in pieces])
        return await asyncio.to_thread(self._correct, request, body)

    def _correct(self, request: Request, body: bytes) -> Response:
        job, number, _ = self._file(request)
        record = self._jobs.record(job.description.id, number)
        try:
            sent = typed_json.parse(body.decode())
        except ValueError as e:
            raise UsageError(f"corrections: not valid JSON in UTF-8 ({e})") from e
        changes = corrections.parse(sent, record)
        corrections.save(job.folder.corrections(number), changes)
        return _json(corrections.to_json(changes))

    def _file(self, request: Request) -> tuple[KeptJob, int, str]:
        """The job, the number of the file and the user's name for it. Raise `NotFound`."""
        job = self._jobs.kept(_id(request))
        files = {str(number): file for number, file in enumerate(job.description.files, 1)}
        number: str = request.path_params["number"]
        if number not in files:
            raise NotFound(f"the job has no file {number!r:.40}; there are {len(files)}")
        return job, int(number), files[number].name


def _id(request: Request) -> str:
    id: str = request.path_params["id"]
    return id


def _json(value: Any, status: int = 200) -> Response:
    """In ASCII: a user's name of a file may hold half of a character."""
    return Response(json.dumps(value), status, media_type="application/json")


def _download(content: bytes, name: str, media_type: str) -> Response:
    headers = {"Content-Disposition": transcripts.disposition("attachment", name)}
    return Response(content, media_type=media_type, headers=headers)
