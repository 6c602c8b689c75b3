"""PocketSphinx: US English, small, its model built in."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.options import EngineOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketSphinxOptions(EngineOptions):
    """``model``: a folder laid out as the wheel's own; None: that one."""

    model: str | None = None


INFO = EngineInfo(
    stage="asr",
    name="pocketsphinx",
    target="speechkit.engines.asr.pocketsphinx.engine:PocketSphinx",
    packages=("pocketsphinx",),
    install="pip install pocketsphinx",
    note="US English, its model built in",
    options=PocketSphinxOptions,
    batch_audio=5.0,
)
