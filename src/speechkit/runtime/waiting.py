"""What a worker process waited for."""

from __future__ import annotations

from dataclasses import replace

from speechkit.engines.protocols import DeviceUse


def with_waiting(use: DeviceUse, audio: float, total: float) -> DeviceUse:
    """The use with parts that add up to the ``total`` seconds of the worker.

    To the engine's parts come ``audio``, the seconds of waiting for it, and ``other``: records,
    JSON and whatever else isn't the engine. An engine without parts is one itself.
    """
    parts = use.parts or {"engine": use.seconds}
    other = max(0.0, total - audio - sum(parts.values()))
    return replace(use, parts={"audio": audio, **parts, "other": other})
