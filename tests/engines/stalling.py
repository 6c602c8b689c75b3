"""The engine ``stalling``: faster-whisper, which hangs on clips of exactly STALLING_SAMPLES samples
and may hang on any, as nemo may."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from speechkit.engines.asr.faster_whisper import INFO as FASTER_WHISPER
from speechkit.engines.asr.nemo import INFO as NEMO
from speechkit.engines.asr.whisper.options import WhisperOptions
from speechkit.engines.protocols import AsrEngine, DeviceUse
from speechkit.records import Hypothesis

if TYPE_CHECKING:
    from speechkit.engines.protocols import Clip

INFO = replace(
    FASTER_WHISPER,
    name="stalling",
    target="stalling:Stalling",
    default=False,
    stalls=NEMO.stalls,
)


class Stalling(AsrEngine):
    """faster-whisper's engine inside."""

    def __init__(self, options: WhisperOptions) -> None:
        from speechkit.engines.asr.faster_whisper.engine import faster_whisper

        self._whisper: AsrEngine = faster_whisper(options)
        self.max_window, self.least_window = self._whisper.max_window, self._whisper.least_window

    def device_use(self) -> DeviceUse | None:
        return self._whisper.device_use()

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        return self._whisper.transcribe(map(stalling, utterances))


def stalling(clips: Sequence[Clip]) -> Sequence[Clip]:
    if int(os.environ["STALLING_SAMPLES"]) in [len(clip.waveform) for clip in clips]:
        time.sleep(600)
    return clips
