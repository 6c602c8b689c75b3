"""What the page has to know before a job: the models, the defaults and the limits."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from speechkit.serving.web import cluster
from speechkit.serving.web.languages import LANGUAGES
from speechkit.serving.web.models import ListedModel
from speechkit.serving.web.server import Server
from speechkit.serving.web.transcripts import FORMATS
from speechkit.serving.web.uploads import MOST_FILES


def routes(server: Server) -> list[BaseRoute]:
    async def models(_: Request) -> JSONResponse:
        listing = await asyncio.to_thread(server.models.listing)
        return JSONResponse(list(map(_model, listing)))

    async def settings(_: Request) -> JSONResponse:
        return JSONResponse(_settings(server))

    return [Route("/api/models", models), Route("/api/settings", settings)]


def _model(listed: ListedModel) -> dict[str, Any]:
    offered = listed.offered
    return {
        "id": offered.id,
        "engine": offered.engine,
        "model": offered.id if offered.model else None,
        "state": listed.state,
        "bytes": listed.size,
    }


def _settings(server: Server) -> dict[str, Any]:
    settings, default = server.settings, server.models.default
    return {
        "engine": default.engine,
        "model": default.id,
        "max_upload": settings.max_upload,
        "max_files": MOST_FILES,
        "max_live": settings.max_live,
        "keep": settings.keep,
        "formats": sorted(FORMATS),
        "languages": LANGUAGES,
        "slurm": cluster.is_there(),
    }
