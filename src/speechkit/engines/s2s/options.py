"""The options of every speech-to-speech engine."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.options import EngineOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class S2sEngineOptions(EngineOptions):
    """The parts of both halves, any of which may be missing.

    ``model``, ``layer`` and ``quantizer`` turn speech into units; ``vocoder`` and
    ``vocoder_config`` units into speech. ``max_window``: seconds; 0: the encoder's own.
    ``batch_size``: stretches; 0: chosen for the device.
    """

    model: str | None = None
    layer: int | None = None
    quantizer: str | None = None
    vocoder: str | None = None
    vocoder_config: str | None = None
    speaker: int | None = None
    style: int | None = None
    max_window: float = 0.0
    device: str = "auto"
    batch_size: int = 0
    compute_type: str = "float32"
