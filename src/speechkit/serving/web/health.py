"""Whether the server is well, for people (/health) and for Prometheus (/metrics)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Route

from speechkit.io.hardware import peak_memory
from speechkit.runtime.prometheus import metric
from speechkit.serving.web.server import Server
from speechkit.version import __version__

UNFINISHED = ("queued", "running")


def routes(server: Server) -> list[BaseRoute]:
    async def health(_: Request) -> JSONResponse:
        return JSONResponse(_health(server), 503 if server.stopping.is_set() else 200)

    async def metrics(_: Request) -> PlainTextResponse:
        return PlainTextResponse("".join(_metrics(server)), media_type="text/plain; version=0.0.4")

    return [Route("/health", health), Route("/metrics", metrics)]


def _health(server: Server) -> dict[str, Any]:
    states = server.jobs.totals().by_state
    return {
        "status": "stopping" if server.stopping.is_set() else "ok",
        "version": __version__,
        "models": [
            {
                "engine": one.engine,
                "model": server.models.name_of(one.engine, one.model),
                "lane": one.lane,
                "idle_seconds": round(one.idle_seconds, 1),
            }
            for one in server.workers.loaded()
        ],
        "queue": {state: states.get(state, 0) for state in UNFINISHED},
    }
