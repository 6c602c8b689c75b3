"""The bytes of a pipe as they come."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

from speechkit.errors import SourceFailed

PIECE = 1 << 16  # bytes read at once: what a pipe holds


class Pipe:
    """Reads an open descriptor. Raise `SourceFailed` where that fails."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self._descriptor = descriptor

    def some(self, most: int = PIECE) -> bytes:
        """What has come, 1 to ``most`` bytes; none at the end. Waits for the first."""
        while True:
            try:
                return os.read(self._descriptor, most)
            except BlockingIOError:  # whoever made the pipe doesn't wait at its other end
                ready = select.poll()
                ready.register(self._descriptor, select.POLLIN)
                ready.poll()
            except OSError as e:
                raise SourceFailed(f"{self.name}: can't be read: {e.strerror or e}") from e

    def exactly(self, count: int) -> bytes:
        """So many bytes; fewer at the end."""
        read = bytearray()
        while len(read) < count and (piece := self.some(min(PIECE, count - len(read)))):
            read += piece
        return bytes(read)

    def rest(self) -> Iterator[bytes]:
        while piece := self.some():
            yield piece
