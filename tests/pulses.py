"""The engine ``pulses``: a word for each quarter second of sound, spelt by its samples, so that it
hears the same only in the same audio. It takes PULSES_SECONDS of wall time for each clip."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import entrypointkit
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, Clip
from speechkit.records import Hypothesis, Segment, Word

INFO = EngineInfo(stage="asr", name="pulses", target="pulses:Pulses")
LENGTH = 0.25  # seconds of a word
LOUD = 0.01  # full scale is 1


def declared(folder: Path) -> Mapping[str, str]:
    """The variables of a process that has the engine."""
    site = entrypointkit.declare(folder / "site", "pulses", {"pulses": "pulses:INFO"})
    return {**os.environ, **entrypointkit.path(site, Path(__file__).parent)}


class Pulses(AsrEngine):
    max_window = 30.0
    least_window = 0.0

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        for clips in utterances:
            time.sleep(float(os.environ.get("PULSES_SECONDS", "0")))
            yield [_hypothesis(clip) for clip in clips]


def _hypothesis(clip: Clip) -> Hypothesis:
    size = round(LENGTH * SAMPLE_RATE)
    words = []
    for at in range(0, len(clip.waveform) - size + 1, size):
        block = np.asarray(clip.waveform[at : at + size], "<f4")
        if np.sqrt(np.mean(block**2)) >= LOUD:
            start = at / SAMPLE_RATE
            text = f"{zlib.crc32(block.tobytes()):08x}"
            words.append(Word(text, start, start + LENGTH, 0.9))
    return Hypothesis((Segment(0.0, clip.seconds, words=tuple(words)),) if words else (), "en")
