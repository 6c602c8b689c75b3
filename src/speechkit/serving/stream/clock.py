"""The clock of a stream: seconds since its first sample."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds."""
        ...

    def set(self, seconds: float) -> None:
        """It is now so late."""
        ...


class WallClock:
    """Runs. `Feed` sets it when the first sample comes, and where the source pauses or hurries."""

    def __init__(self) -> None:
        self._zero = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._zero

    def set(self, seconds: float) -> None:
        self._zero = time.monotonic() - seconds


class VirtualClock:
    """Stands still, but for the steps of `Feed`: it shows the audio taken so far."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> float:
        return self._seconds

    def set(self, seconds: float) -> None:
        self._seconds = seconds
