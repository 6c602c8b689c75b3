"""The options of every ASR engine that runs a neural model on a device."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.options import EngineOptions, option

TIMESTAMPS = (
    "Let Whisper mark its segments itself (off by default; times come from its attention in any "
    "case), or NeMo return times (on by default)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions(EngineOptions):
    """``model``: a local folder or file. ``batch_size``: windows; 0: chosen for the device."""

    model: str = ""
    device: str = "auto"
    batch_size: int = 0
    language: str | None = option(
        None,
        metavar="CODE[,CODE...]|each",
        help="The language, such as en. Several: the likeliest of them. each: detected again in "
        "every window. Default: detected once in each utterance.",
    )
    compute_type: str = option(
        "auto",
        metavar="TYPE",
        help="float32, float16 or bfloat16; faster-whisper has int8 and its mixtures too. "
        "Default: chosen for the device.",
    )
