"""Whether the server is well, for people (/health) and for Prometheus (/metrics)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Route

from speechkit.runtime.prometheus import metric
from speechkit.serving.web.server import Server
from speechkit.serving.web.workers.warm_workers import LoadedModel
from speechkit.version import __version__

#: Name, help, and value of the workers that hold a model.
OF_A_MODEL: tuple[tuple[str, str, Callable[[LoadedModel], float]], ...] = (
    ("worker_processes", "Processes that hold a model.", lambda one: len(one.pids)),
    ("worker_memory_bytes", "Their resident memory.", lambda one: one.memory),
    ("worker_idle_seconds", "Seconds since they last worked.", lambda one: one.idle_seconds),
)
MEDIA_TYPE = "text/plain; version=0.0.4"  # Prometheus's exposition format


def routes(server: Server) -> list[BaseRoute]:
    async def health(_: Request) -> JSONResponse:
        return JSONResponse(_health(server), 503 if server.stopping.is_set() else 200)

    async def metrics(_: Request) -> PlainTextResponse:
        return PlainTextResponse(_metrics(server), media_type=MEDIA_TYPE)

    return [Route("/health", health), Route("/metrics", metrics)]


def _health(server: Server) -> dict[str, Any]:
    return {
        "status": "stopping" if server.stopping.is_set() else "ok",
        "version": __version__,
        "models": [
            {
                **_names(server, one),
                "pids": list(one.pids),
                "idle_seconds": round(one.idle_seconds, 1),
            }
            for one in server.workers.loaded()
        ],
        "queue": server.unfinished(),
    }


def _names(server: Server, loaded: LoadedModel) -> dict[str, str]:
    model = server.models.name_of(loaded.engine, loaded.model)
    return {"engine": loaded.engine, "model": model, "lane": loaded.lane}


def _metrics(server: Server) -> str:
    totals = server.jobs.totals()
    states = [({"state": state}, count) for state, count in sorted(totals.by_state.items())]
    lines: list[str] = []
    metric(lines, "jobs", "gauge", "Jobs that the server keeps.", states)
    for name, help_text, value in (
        ("audio_seconds_total", "Seconds of audio done since the start.", totals.audio_seconds),
        ("files_failed_total", "Files with an error since the start.", totals.failed_files),
    ):
        metric(lines, name, "counter", help_text, [({}, value)])
    loaded = [(_names(server, one), one) for one in server.workers.loaded()]
    for name, help_text, value_of in OF_A_MODEL:
        rows = [(labels, value_of(one)) for labels, one in loaded]
        metric(lines, name, "gauge", help_text, rows)
    return "".join(lines)
