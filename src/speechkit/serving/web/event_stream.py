"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

QUIET = 15.0  # seconds without an event after which a comment keeps the connection alive
COMMENT = b": nothing new\n\n"


def event(name: str | None, data: Any) -> bytes:
    """An event with its data in JSON; OpenAI's events have no name."""
    text = f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
    return (f"event: {name}\n{text}" if name else text).encode()


class EventStream(StreamingResponse):
    """An answer that sends events as they come, until they end or the server stops."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], stopping: asyncio.Event) -> None:
        super().__init__(
            _kept_alive(events, stopping), headers={"X-Accel-Buffering": "no"}
        )  # proxies then don't hold events back


async def _kept_alive(
    events: AsyncIterator[bytes], stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    stopped = asyncio.ensure_future(stopping.wait())
    following: asyncio.Future[bytes] | None = None
    try:
        while not stopped.done():
            following = following or asyncio.ensure_future(_next(events))
            await asyncio.wait({following, stopped}, timeout=QUIET, return_when="FIRST_COMPLETED")
            if following.done():
                done, following = following, None
                try:
                    yield done.result()
                except StopAsyncIteration:
                    return
            elif not stopped.done():
                yield COMMENT
    finally:
        for task in filter(None, (stopped, following)):
            task.cancel()


async def _next(events: AsyncIterator[bytes]) -> bytes:
    return await anext(events)
