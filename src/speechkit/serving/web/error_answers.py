"""Every error of a request as OpenAI's JSON, and none with a traceback."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from speechkit.errors import EngineMissing, OutputFailed, SpeechkitError, UsageError
from speechkit.serving.web.request_errors import RequestError, Stopping

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

INTERNAL = "the server failed on this request; its log says why"
UNWRITTEN = "the server can't write its data; its log says why"
ROUTERS = {404: "there is nothing at this address", 405: "this address has no such method"}
#: The status of the errors that aren't a request's own.
STATUSES = ((UsageError, 400), (EngineMissing, 503), (OutputFailed, 507))


def answer(error: Exception) -> Response:
    """The answer to a request that failed."""
    headers = {"Connection": "close"}  # the rest of the request's body is not read
    if isinstance(error, RequestError) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, HTTPException):
        headers |= error.headers or {}
    return JSONResponse(error_json(error), _status(error), headers)


def error_json(error: Exception) -> dict[str, Any]:
    """An error as OpenAI has it: a sentence, its kind, the field at fault, and a code."""
    is_ours = _status(error) >= 500
    body = {
        "message": _sentence(error),
        "type": "server_error" if is_ours else "invalid_request_error",
        "param": getattr(error, "param", None),
        "code": getattr(error, "code", None),
    }
    return {"error": body}


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def _sentence(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return ROUTERS.get(error.status_code, error.detail)
    if isinstance(error, OutputFailed):  # whose own sentence names a path of the server's
        return UNWRITTEN
    return str(error) if isinstance(error, SpeechkitError) else INTERNAL


async def answer_router(_: object, error: Exception) -> Response:
    """The answer where a request has no route."""
    return answer(error)


class ErrorAnswers:
    """ASGI middleware: answers a request whose handling raised an error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def watched(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # the server has stopped waiting for this request
            if not began:
                await answer(Stopping("the server is stopping"))(scope, receive, send)
        except Exception as e:
            if not isinstance(e, RequestError | UsageError):
                _report(scope, e)
            if not began:
                await answer(e)(scope, receive, send)


def _report(scope: Scope, error: Exception) -> None:
    problem = str(error) if isinstance(error, SpeechkitError) else repr(error)
    log.error("%s %s: %s", scope.get("method", "WebSocket"), scope["path"], problem)
    log.debug("traceback", exc_info=error)
