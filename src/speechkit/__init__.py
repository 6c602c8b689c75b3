"""speechkit: composable speech-pipeline stages, for the command line and for Python.

    stage = speechkit.asr_stage(speechkit.AsrOptions(engine="faster-whisper"))
    for record in speechkit.results(stage, ["monday.flac", "tuesday.flac"]):
        print(record["pred_text"])

All names are imported at their first use: ``import speechkit`` takes milliseconds.
"""

from __future__ import annotations

from speechkit.telemetry_off import switch_off
from speechkit.version import __version__ as __version__

# No import of the standard library here: `python -m speechkit` would import it from the current
# folder, which `__main__` has not removed from the path yet.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from speechkit.errors import Drained as Drained
    from speechkit.errors import SpeechkitError as SpeechkitError
    from speechkit.io.embedding_shards import Embeddings as Embeddings
    from speechkit.io.embedding_shards import load_embeddings as load_embeddings
    from speechkit.runtime.job import JobOptions as JobOptions
    from speechkit.runtime.job import results as results
    from speechkit.runtime.job import run as run
    from speechkit.runtime.progress import Progress as Progress
    from speechkit.runtime.stage import Stage as Stage
    from speechkit.runtime.summary import Summary as Summary
    from speechkit.runtime.worker_plan import Hardware as Hardware
    from speechkit.stages.asr.stage import AsrOptions as AsrOptions
    from speechkit.stages.asr.stage import asr_stage as asr_stage
    from speechkit.stages.embed.stage import EmbedOptions as EmbedOptions
    from speechkit.stages.embed.stage import embed_stage as embed_stage
    from speechkit.stages.manifest.stage import manifest_stage as manifest_stage
    from speechkit.stages.s2s.stage import S2sOptions as S2sOptions
    from speechkit.stages.s2s.stage import s2s_stage as s2s_stage
    from speechkit.stages.vad.stage import VadOptions as VadOptions
    from speechkit.stages.vad.stage import vad_stage as vad_stage

_MODULES = {
    "speechkit.errors": ("Drained", "SpeechkitError"),
    "speechkit.io.embedding_shards": ("Embeddings", "load_embeddings"),
    "speechkit.runtime.job": ("JobOptions", "results", "run"),
    "speechkit.runtime.worker_plan": ("Hardware",),
    "speechkit.runtime.progress": ("Progress",),
    "speechkit.runtime.stage": ("Stage",),
    "speechkit.runtime.summary": ("Summary",),
    "speechkit.stages.asr.stage": ("AsrOptions", "asr_stage"),
    "speechkit.stages.embed.stage": ("EmbedOptions", "embed_stage"),
    "speechkit.stages.manifest.stage": ("manifest_stage",),
    "speechkit.stages.s2s.stage": ("S2sOptions", "s2s_stage"),
    "speechkit.stages.vad.stage": ("VadOptions", "vad_stage"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

switch_off()


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'speechkit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
