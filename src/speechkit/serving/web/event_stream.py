"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

QUIET = 15.0  # seconds without an event after which a comment keeps the connection alive
COMMENT = b": nothing new\n\n"
UNHELD = {"X-Accel-Buffering": "no"}  # proxies must not hold events back


def event(name: str | None, data: Any) -> bytes:
    """An event with its data in JSON; OpenAI's events have no name."""
    text = f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
    return (f"event: {name}\n{text}" if name else text).encode()


class EventStream(StreamingResponse):
    """An answer that sends events as they come, until they end or the server stops."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], stopping: asyncio.Event) -> None:
        super().__init__(_kept_alive(events, stopping), headers=UNHELD)


async def _kept_alive(
    events: AsyncIterator[bytes], stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    stopped = asyncio.ensure_future(stopping.wait())
    following = asyncio.ensure_future(_next(events))
    waited: list[asyncio.Future[Any]] = [stopped, following]
    try:
        while not stopped.done():
            await asyncio.wait(waited, timeout=QUIET, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                data = following.result()
                if data is None:
                    return
                yield data
                waited[1] = following = asyncio.ensure_future(_next(events))
            elif not stopped.done():
                yield COMMENT
    finally:
        stopped.cancel()
        following.cancel()


async def _next(events: AsyncIterator[bytes]) -> bytes | None:
    """The next event, None after the last one."""
    return await anext(events, None)
