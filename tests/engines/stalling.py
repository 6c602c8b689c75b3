"""The engine ``stalling``: NeMo's, which hangs on windows of exactly STALLING_SAMPLES samples."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from speechkit.engines.asr.nemo import INFO as NEMO
from speechkit.engines.asr.nemo import NemoOptions
from speechkit.engines.protocols import AsrEngine, DeviceUse
from speechkit.records import Hypothesis

if TYPE_CHECKING:
    from speechkit.engines.protocols import Clip

INFO = replace(NEMO, name="stalling", target="stalling:Stalling")


class Stalling(AsrEngine):
    """NeMo's engine inside."""

    def __init__(self, options: NemoOptions) -> None:
        from speechkit.engines.asr.nemo.engine import Nemo

        self._nemo: AsrEngine = Nemo(options)
        self.max_window, self.least_window = self._nemo.max_window, self._nemo.least_window

    def device_use(self) -> DeviceUse | None:
        return self._nemo.device_use()

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        return self._nemo.transcribe(map(stalling, utterances))


def stalling(clips: Sequence[Clip]) -> Sequence[Clip]:
    if int(os.environ["STALLING_SAMPLES"]) in [len(clip.waveform) for clip in clips]:
        time.sleep(600)
    return clips
