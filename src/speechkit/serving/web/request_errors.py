"""The errors of requests: each one's message is a sentence for the client, and has a status."""

from __future__ import annotations

from speechkit.errors import SpeechkitError


class RequestError(SpeechkitError):
    """``param``: the field at fault. ``retry_after``: seconds after which to try again."""

    status = 400
    code: str | None = None

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after = retry_after


class TokenMissing(RequestError):
    status = 401
    code = "invalid_api_key"


class Forbidden(RequestError):
    status = 403


class NotFound(RequestError):
    status = 404


class UnknownModel(NotFound):
    code = "model_not_found"


class UploadTooSlow(RequestError):
    status = 408


class Conflict(RequestError):
    """Not possible in the present state of what is asked for."""

    status = 409


class UploadTooLarge(RequestError):
    status = 413


class WrongHost(RequestError):
    status = 421


class TooManyRequests(RequestError):
    status = 429
    code = "rate_limit_exceeded"


class EngineTrouble(RequestError):
    """The server's fault: a worker died, an engine can't start."""

    status = 500


class Stopping(RequestError):
    status = 503


class DiskFull(RequestError):
    status = 507
