"""Runs of embed with the light engine of `spectral`, by the Python call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import entrypointkit
import spectral
import speechkit
from speechkit.engines import registry
from speechkit.runtime.summary import Summary

TESTS = Path(spectral.__file__).parent
OF_THE_STAGE = ("dtype", "shard_rows")


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine, in this process and in its workers."""
    monkeypatch.setattr(registry, "ENGINES", (*registry.ENGINES, spectral.INFO))
    monkeypatch.setenv("PYTHONPATH", entrypointkit.path(TESTS)["PYTHONPATH"])


def installed(site: Path) -> dict[str, str]:
    """The variable with which every process finds the engine, as another package's."""
    return entrypointkit.path(
        entrypointkit.declare(site, "spectral", {"spectral": "spectral:INFO"}), TESTS
    )


def embed(
    source: Path,
    folder: Path,
    engine: Mapping[str, Any] | None = None,
    *,
    batch_size: int = 0,
    **options: Any,
) -> Summary:
    """``engine``: its options. ``options``: those of the stage and of the job, by name."""
    of_the_stage = {name: options.pop(name) for name in OF_THE_STAGE if name in options}
    chosen = speechkit.EmbedOptions(
        folder=str(folder), engine="spectral", engine_options=engine or {}, **of_the_stage
    )
    stage = speechkit.embed_stage(chosen, speechkit.Hardware(batch_size=batch_size))
    return speechkit.run(stage, [source], speechkit.JobOptions(**options))
