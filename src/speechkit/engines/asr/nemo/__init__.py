"""The ASR models of NVIDIA NeMo."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.asr.options import TIMESTAMPS, ModelOptions
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.options import option

MAX_WINDOW = 30.0  # seconds; many models return no text for longer audio


@dataclass(frozen=True, slots=True, kw_only=True)
class NemoOptions(ModelOptions):
    """``model``: a ``.nemo`` file, or a folder with one (or with its contents). ``language``: of
    models that take one. ``timestamps``: of segments, words and characters; an attention decoder
    is asked for them only with ``words`` or ``chars``, because requesting them can change its
    text. ``local_attention``: 0 for the whole window. ``dataloader``: see `transcribe`."""

    words: bool = False
    chars: bool = False
    timestamps: bool = option(True, negatable=True, help=TIMESTAMPS)
    max_window: float = option(
        MAX_WINDOW,
        minimum=1.0,
        metavar="SECONDS",
        help="Longest audio the model is given at once; longer audio is cut at pauses.",
    )
    local_attention: int = option(
        0,
        minimum=0,
        metavar="FRAMES",
        help="Frames of attention on each side, for windows of minutes, e.g. 128 (0: no limit).",
    )
    dataloader: str = option(
        "direct",
        choices=("direct", "lhotse", "manifest"),
        pins=False,
        help="The way of audio to the model: direct, or through files (lhotse, manifest).",
    )
    cuda_graphs: bool = option(True, pins=False, help="Decode transducers without CUDA graphs.")


INFO = EngineInfo(
    stage="asr",
    name="nemo",
    target="speechkit.engines.asr.nemo.engine:Nemo",
    packages=("torch", "nemo-toolkit"),
    install="pip install torch 'speechkit[nemo]'",
    note="any ASR model of NVIDIA NeMo: CTC, RNN-T, TDT, hybrid, Canary; CUDA or CPU",
    options=NemoOptions,
    weights=("*.nemo",),
    hub="nvidia/{}",
    model="parakeet-tdt-0.6b-v3",
    needs_model=True,
    batched=True,
    stalls=True,
    temporary=True,
)
