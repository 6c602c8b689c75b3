"""The engines of a stream: found and checked at once, built when the audio is already coming."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speechkit.engines import registry
from speechkit.engines.engine_info import EngineInfo
from speechkit.io.hardware import granted_cpus
from speechkit.runtime.worker_plan import Hardware
from speechkit.runtime.worker_process import THREADS
from speechkit.stages.asr.stage import AsrOptions, AsrProcessor, asr_stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speechkit.engines.protocols import AsrEngine, VadEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """A recogniser and a VAD. ``options``: those that results depend on. ``packages``: the
    distributions that they use."""

    asr: AsrProcessor
    vad: EngineInfo
    options: Mapping[str, Any]
    packages: tuple[str, ...]

    def build(self) -> tuple[AsrEngine, VadEngine]:
        """Both, with all CPUs granted to this process. Raises `EngineMissing`."""
        for name in THREADS:
            os.environ.setdefault(name, str(granted_cpus()))
        return self.asr.build(), registry.configure(self.vad, {}).build()


def find_engines(asr: AsrOptions, hardware: Hardware, vad: str) -> Engines:
    """Raises `UsageError` for options that the engines lack, `EngineMissing` without a model."""
    stage = asr_stage(asr, hardware)
    info = registry.find("vad", vad)
    registry.require_installed(info)
    assert isinstance(stage.processor, AsrProcessor)
    return Engines(
        asr=stage.processor,
        vad=info,
        options={**stage.options, "vad": vad},
        packages=tuple(dict.fromkeys((*stage.packages, *info.packages))),
    )
