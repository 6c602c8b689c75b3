"""The routes of OpenAI's API: /v1/audio/transcriptions, /v1/audio/translations, /v1/models."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from speechkit.serving.web.event_stream import EventStream
from speechkit.serving.web.models import ListedModel
from speechkit.serving.web.openai.answers import answer
from speechkit.serving.web.openai.parameters import parameters
from speechkit.serving.web.openai.streaming import continued
from speechkit.serving.web.openai.transcription import Transcription
from speechkit.serving.web.server import Server
from speechkit.serving.web.uploads import client_of


def routes(server: Server) -> list[BaseRoute]:
    async def transcriptions(request: Request) -> Response:
        return await _transcribe(server, request, translate=False)

    async def translations(request: Request) -> Response:
        return await _transcribe(server, request, translate=True)

    async def models(_: Request) -> JSONResponse:
        listing = await asyncio.to_thread(server.models.listing)
        here = [_model(one) for one in listing if one.state != "to_fetch"]
        return JSONResponse({"object": "list", "data": here})

    async def model(request: Request) -> JSONResponse:
        found = await asyncio.to_thread(server.models.find_here, request.path_params["id"])
        return JSONResponse(_model(await asyncio.to_thread(server.models.listed, found)))

    return [
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        Route("/v1/audio/translations", translations, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{id:path}", model),
    ]


def _model(listed: ListedModel) -> dict[str, Any]:
    return {
        "id": listed.offered.id,
        "object": "model",
        "created": listed.changed,
        "owned_by": listed.offered.engine,
    }


async def _transcribe(server: Server, request: Request, *, translate: bool) -> Response:
    client = client_of(request)
    server.jobs.require_room(client)
    with server.jobs.new() as new:
        form = await server.uploads.receive(request, new.path_for_upload)
        wanted = parameters(form)
        transcription = await asyncio.to_thread(
            Transcription.begin, server, new, form, wanted, client, translate=translate
        )
    if wanted.stream:
        events = transcription.events()
        first = await transcription.unless_ended(request, anext(events))
        return EventStream(continued(first, events), server.stopping)
    with transcription.discarded():
        record = await transcription.unless_ended(request, transcription.record())
    return answer(record, wanted, translated=translate)
