"""What a worker process waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from speechkit.engines.protocols import DeviceUse

Result = TypeVar("Result")


class Waiting:
    """The ``seconds`` spent in calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def measured(self, call: Callable[[], Result]) -> Result:
        began = time.monotonic()
        try:
            return call()
        finally:
            self.seconds += time.monotonic() - began


def with_waiting(use: DeviceUse, audio: float, total: float) -> DeviceUse:
    """The use with parts that add up to the ``total`` seconds of the worker.

    To the engine's parts come ``audio``, the seconds of waiting for it, and ``other``: records,
    JSON and whatever else isn't the engine. An engine without parts is one itself.
    """
    parts = use.parts or {"engine": use.seconds}
    other = max(0.0, total - audio - sum(parts.values()))
    return replace(use, parts={"audio": audio, **parts, "other": other})
