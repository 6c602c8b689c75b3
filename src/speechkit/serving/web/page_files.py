"""The page, and the files that it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from speechkit.serving.web.server import Server

FOLDER = Path(__file__).with_name("page")
#: Asked for anew, as another version may be installed.
HEADERS = {"Cache-Control": "no-cache"}


class _PageFiles(StaticFiles):
    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers.update(HEADERS)
        return response


def routes(server: Server) -> list[BaseRoute]:
    """``/``, and ``/page/…`` for its styles and scripts."""

    async def page(request: Request) -> Response:
        return FileResponse(FOLDER / "index.html", headers=HEADERS)

    return [Route("/", page), Mount("/page", _PageFiles(directory=FOLDER))]
