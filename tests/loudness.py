"""The engine ``loudness`` for processes: `livekit.Loudness`, which takes LOUDNESS_SECONDS of wall
time for each hypothesis."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import entrypointkit
import livekit
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import Clip, LiveDecoder, LiveHypothesis
from speechkit.records import Word

INFO = EngineInfo(stage="asr", name="loudness", target="loudness:Loudness")


def declared(site: Path) -> dict[str, str]:
    """The variable of a process that has the engine, whose package is put into ``site``."""
    entrypointkit.declare(site, "loudness", {"loudness": "loudness:INFO"})
    return entrypointkit.path(site, Path(__file__).parent)


class Loudness(livekit.Loudness):
    def live(self) -> LiveDecoder:
        return _Decoder()


class _Decoder(livekit.LoudnessDecoder):
    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        time.sleep(float(os.environ.get("LOUDNESS_SECONDS", "0")))
        return super().hear(clip, said, ended=ended)
