"""The engine ``stalling``: NeMo's, which hangs on windows of exactly STALLING_SAMPLES samples."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from speechkit.engines.asr.nemo import INFO as NEMO
from speechkit.engines.asr.nemo import NemoOptions
from speechkit.records import Hypothesis

if TYPE_CHECKING:
    from speechkit.engines.protocols import AsrEngine, Clip

INFO = replace(NEMO, name="stalling", target="stalling:Stalling")


class Stalling:
    """An AsrEngine over NeMo's."""

    def __init__(self, options: NemoOptions) -> None:
        from speechkit.engines.asr.nemo.engine import Nemo

        self._nemo: AsrEngine = Nemo(options)
        self.max_window, self.least_window = self._nemo.max_window, self._nemo.least_window
        self.device_use: Callable[[], Any] = self._nemo.device_use

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        return self._nemo.transcribe(map(stalling, utterances))


def stalling(clips: Sequence[Clip]) -> Sequence[Clip]:
    if int(os.environ["STALLING_SAMPLES"]) in [len(clip.waveform) for clip in clips]:
        time.sleep(600)
    return clips
