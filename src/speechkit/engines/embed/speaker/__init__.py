"""Who speaks: the GE2E encoder of Resemblyzer, 17 MB, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.embed.options import EmbedEngineOptions
from speechkit.engines.engine_info import EngineInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerOptions(EmbedEngineOptions):
    pass


INFO = EngineInfo(
    stage="embed",
    name="speaker",
    target="speechkit.engines.embed.speaker.engine:SpeakerEncoder",
    packages=("onnx", "onnxruntime", "resemblyzer"),
    install="pip install onnx onnxruntime && pip install --no-deps resemblyzer==0.1.4",
    note="Apache-2.0; Resemblyzer carries the weights",
    options=SpeakerOptions,
    batch_audio=240.0,
    batched=True,
)
