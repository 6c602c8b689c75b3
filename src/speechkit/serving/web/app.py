"""The application: all routes, behind the guard."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from speechkit.serving.web import health, job_api, live, model_api, page_files
from speechkit.serving.web.error_answers import ErrorAnswers, answer_router
from speechkit.serving.web.guard import Guard, SecurityHeaders
from speechkit.serving.web.openai import routes as openai_routes
from speechkit.serving.web.server import Server

PARTS = (openai_routes, job_api, model_api, health, live, page_files)


def make_app(server: Server) -> Starlette:
    return Starlette(
        routes=[route for part in PARTS for route in part.routes(server)],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(ErrorAnswers),
            Middleware(Guard, address=server.address, token=server.settings.token),
        ],
        exception_handlers={HTTPException: answer_router},
    )
