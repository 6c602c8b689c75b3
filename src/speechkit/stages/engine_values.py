"""The options of an engine that its stage fills: the model, and those of the hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechkit.engines import registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.registry import Engine
from speechkit.runtime.worker_plan import Hardware


def require_taken(
    info: EngineInfo, given: Mapping[str, Any], model: str | None, hardware: Hardware
) -> None:
    """Raises `UsageError` where the engine lacks an option that was ``given``, or has no choice of
    model, device or batch size, and one is asked for."""
    values = dict(given)
    values |= {"model": model} if model else {}
    values |= {"device": hardware.device} if hardware.device not in ("auto", "cpu") else {}
    values |= {"batch_size": hardware.batch_size} if hardware.batch_size else {}
    registry.require_taken(info, values)


def configured(
    info: EngineInfo,
    given: Mapping[str, Any],
    model: str | None,
    hardware: Hardware,
    **more: Any,
) -> Engine:
    """The engine with the options ``given``, and those of the others that it takes."""
    values = {
        "model": model or "",
        "device": hardware.device,
        "batch_size": hardware.batch_size,
        **more,
    }
    known = {name: value for name, value in values.items() if info.takes(name)}
    return registry.configure(info, {**known, **given})
