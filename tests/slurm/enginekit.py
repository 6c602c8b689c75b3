"""Engines that compute next to nothing, for what is asked of their stage on a cluster: ``patient``
of asr, which sleeps, so that there is time to harm it, and ``tones`` of s2s."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import entrypointkit
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, Clip, DeviceUse
from speechkit.engines.s2s.options import S2sEngineOptions
from speechkit.records import Hypothesis, Segment, Units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

SECONDS = 0.4  # of an utterance of ``patient``
HOP = 320  # samples of a frame of ``tones``

PATIENT = EngineInfo(stage="asr", name="patient", target="enginekit:Patient", batch_audio=1.0)
TONES = EngineInfo(
    stage="s2s", name="tones", target="enginekit:Tones", options=S2sEngineOptions, needs_model=True
)


def declared(site: Path) -> dict[str, str]:
    """The variable of a process that has the engines, whose package is put into ``site``."""
    engines = {"patient": "enginekit:PATIENT", "tones": "enginekit:TONES"}
    here = Path(__file__).parent
    return entrypointkit.path(entrypointkit.declare(site, "engines", engines), here, here.parent)


class Patient(AsrEngine):
    """Each clip has a text of its own."""

    max_window = 30.0
    least_window = 0.0

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        for clips in utterances:
            time.sleep(SECONDS)
            yield [_heard(clip) for clip in clips]


def _heard(clip: Clip) -> Hypothesis:
    text = f"{zlib.crc32(clip.waveform.tobytes()):08x}"
    return Hypothesis((Segment(0.0, clip.seconds, text),), "en")


class Tones:
    """Units are loudness, and each has its tone. Its options name files, which it doesn't read."""

    shortest = HOP
    sample_rate = SAMPLE_RATE
    predicts_durations = False

    def __init__(self, options: S2sEngineOptions) -> None: ...

    def features(self, waveforms: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """[frames, 1]: decibels above -60, at least 0."""
        found = []
        for waveform in waveforms:
            frames = waveform[: len(waveform) // HOP * HOP].reshape(-1, HOP)
            power = np.mean(np.square(frames), axis=1, keepdims=True)
            found.append(np.maximum(0, 10 * np.log10(power + 1e-12) + 60).astype(np.float32))
        return found

    def encode(self, waveforms: Sequence[Waveform]) -> list[Units]:
        found = []
        for features in self.features(waveforms):
            runs = [(unit, len([*same])) for unit, same in groupby(map(int, features[:, 0]))]
            units, durations = zip(*runs, strict=True)
            found.append(Units(units, durations))
        return found

    def synthesise(self, units: Sequence[Units], *, predict: bool) -> Iterator[Waveform]:
        for one in units:
            frames = np.repeat(one.units, one.durations or 1)
            phase = np.cumsum(np.repeat(frames, HOP)) / 50
            yield (0.1 * np.sin(phase)).astype(np.float32)

    def device_use(self) -> DeviceUse | None:
        return None
