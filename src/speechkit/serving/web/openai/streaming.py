"""A transcript as OpenAI's events, while it is decoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from speechkit.serving.web.error_answers import error_json
from speechkit.serving.web.event_stream import event
from speechkit.serving.web.request_errors import RequestError


@dataclass(slots=True)
class TextDeltas:
    """The text of one file, piece by piece and in order, whatever the order of its parts."""

    sent: str = ""
    _next: int = 0
    _waiting: dict[int, str] = field(default_factory=dict)

    def add(self, piece: Mapping[str, Any]) -> Iterator[str]:
        """What can be sent with a piece: a part of the file, by its number, or the whole."""
        space = " " if piece.get("spaced") else ""
        self._waiting[piece.get("part", 0)] = f"{space}{piece['text']}" if piece["text"] else ""
        while self._next in self._waiting:
            text = self._waiting.pop(self._next)
            self._next += 1
            yield from self._sent(text if self.sent else text.lstrip())

    def rest(self, text: str) -> Iterator[str]:
        """What is missing of the final text."""
        if text.startswith(self.sent):
            yield from self._sent(text[len(self.sent) :])

    def _sent(self, text: str) -> Iterator[str]:
        if text:
            self.sent += text
            yield text


def delta_event(text: str) -> bytes:
    return event(None, {"type": "transcript.text.delta", "delta": text})


def done_event(text: str) -> bytes:
    return event(None, {"type": "transcript.text.done", "text": text})


async def continued(first: bytes, following: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of an answer that has begun, where an error can only be one more event."""
    yield first
    try:
        async for one in following:
            yield one
    except RequestError as e:
        yield event(None, error_json(e))
