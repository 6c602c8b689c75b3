"""The body of a request, never read beyond a size and never waited for without end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from speechkit.serving.web.request_errors import UploadTooLarge, UploadTooSlow
from speechkit.serving.web.waiting import unless_stopping

if TYPE_CHECKING:
    from starlette.requests import Request

IDLE = 30.0  # seconds without a byte after which a client is dropped
LEAST_RATE = 1000.0  # bytes a second, over the whole body
GRACE = 60.0  # seconds before the rate counts


async def pieces(request: Request, most: int, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """The body as it comes, of at most ``most`` bytes. ``stopping``: set when the server ends.

    Raises UploadTooLarge (before anything is read, if the headers state the size), UploadTooSlow,
    Stopping and ClientDisconnect.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise _too_large(most)
    chunks, begin, received = request.stream(), time.monotonic(), 0
    while True:
        try:
            chunk = await asyncio.wait_for(unless_stopping(anext(chunks), stopping), IDLE)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as e:
            raise UploadTooSlow(f"no byte of the upload has come for {IDLE:g} s") from e
        received += len(chunk)
        if received > most:
            raise _too_large(most)
        elapsed = time.monotonic() - begin
        if elapsed > GRACE and received < LEAST_RATE * elapsed:
            raise UploadTooSlow(f"the upload is slower than {LEAST_RATE:g} bytes a second")
        yield chunk


def _too_large(most: int) -> UploadTooLarge:
    size = f"{most / 1e6:g} MB"
    return UploadTooLarge(f"the upload is larger than {size}, the most that this server takes")
