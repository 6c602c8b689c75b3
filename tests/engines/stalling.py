"""The engine ``stalling``: `loudness`, which hangs on clips of exactly STALLING_SAMPLES samples and
may hang on any, as nemo may."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import loudness
from speechkit.engines.asr.nemo import INFO as NEMO
from speechkit.engines.protocols import Clip
from speechkit.records import Hypothesis

INFO = replace(
    loudness.INFO,
    name="stalling",
    target="stalling:Stalling",
    batch_audio=4.0,
    batched=NEMO.batched,
    stalls=NEMO.stalls,
)


class Stalling(loudness.Loudness):
    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        return super().transcribe(map(stalling, utterances))


def stalling(clips: Sequence[Clip]) -> Sequence[Clip]:
    if int(os.environ["STALLING_SAMPLES"]) in [len(clip.waveform) for clip in clips]:
        time.sleep(600)
    return clips
