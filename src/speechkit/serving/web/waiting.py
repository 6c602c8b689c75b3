"""Waiting for what may never come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from speechkit.serving.web.request_errors import Stopping

T = TypeVar("T")

RETRY_AFTER = 5  # seconds, in which a server may have started again


async def unless(waiting: Awaitable[T], end: Awaitable[object], error: Exception) -> T:
    """What is waited for, or the error if the ``end`` comes before it."""
    task, ended = asyncio.ensure_future(waiting), asyncio.ensure_future(end)
    try:
        await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise error
    finally:
        task.cancel()
        ended.cancel()


async def unless_stopping(waiting: Awaitable[T], stopping: asyncio.Event) -> T:
    """What is waited for. Raises `Stopping` if the server ends before it."""
    stop = Stopping("the server is stopping", retry_after=RETRY_AFTER)
    return await unless(waiting, stopping.wait(), stop)
