"""HuBERT and WavLM by transformers, with a vocoder of our own: the default engine of s2s."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.options import option
from speechkit.engines.s2s.options import S2sEngineOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersOptions(S2sEngineOptions):
    allow_reinit: bool = option(
        False, help="Use random numbers for weights that don't fit the configuration."
    )


INFO = EngineInfo(
    stage="s2s",
    name="transformers",
    target="speechkit.engines.s2s.transformers.engine:transformers",
    packages=("torch", "transformers"),
    install="pip install torch 'speechkit[s2s]'",
    note="HuBERT of fairseq's or transformers' files, WavLM; CUDA, MPS or CPU",
    default=True,
    options=TransformersOptions,
    weights=("*.json", "*.safetensors", "pytorch_model.bin"),
    hub="facebook/{}",
    needs_model=True,
    batched=True,
    cpu_windows=4,
)
