"""The audio of a stream that may be needed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform


class AudioBuffer:
    """Audio from sample ``start`` of the stream on."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._audio: Waveform = np.zeros(0, np.float32)

    @property
    def end(self) -> int:
        return self._start + len(self._audio)

    def append(self, waveform: Waveform) -> None:
        self._audio = np.concatenate((self._audio, waveform))

    def between(self, first: int, end: int) -> Waveform:
        return self._audio[max(0, first - self._start) : end - self._start]

    def forget(self, before: int) -> None:
        if before > self._start:
            self._audio = self._audio[before - self._start :].copy()
            self._start = before
