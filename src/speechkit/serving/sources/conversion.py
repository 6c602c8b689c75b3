"""Blocks of any rate and number of channels to the waveform that engines hear."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import SpeechkitError
from speechkit.io.downmix import Downmix
from speechkit.io.resampling import require_finite, resampled
from speechkit.serving.sources.source import source_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

BLOCK = 0.02  # seconds, of the blocks in which channels are mixed


class Conversion:
    """Blocks ``[frames, channels]`` at ``rate`` Hz to blocks ``[samples]`` at 16 kHz.

    Channels are mixed to their mean or, as long as they have cancelled each other so far, the
    loudest is taken, which is said once in ``remarks``. An error of the blocks, or a sample that is
    NaN or infinite, is raised after everything before it has come out.
    """

    def __init__(self, name: str, rate: int, remarks: deque[str]) -> None:
        self._name = name
        self._rate = rate
        self._remarks = remarks
        self._mix = Downmix(None, rate)
        self._frames = 0
        self._cancel = False
        self._failure: SpeechkitError | None = None

    def waveform(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Waveform]:
        mixed = require_finite(map(self._mixed, self._equal(blocks)), self._name, 0, self._rate)
        for block in resampled(self._until_failure(mixed), self._rate, SAMPLE_RATE):
            if len(block):
                yield block
        if self._failure:
            raise self._failure

    def _equal(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """The frames of several channels in blocks of one length: what is mixed is chosen block by
        block, and must not depend on how the pieces of a pipe came. An error of the blocks is
        raised after the rest."""
        length = max(1, round(BLOCK * self._rate))
        left: list[NDArray[np.float32]] = []
        try:
            for block in blocks:
                if block.shape[1] == 1:
                    yield block
                    continue
                joined = np.concatenate([*left, block])
                whole = len(joined) // length * length
                for start in range(0, whole, length):
                    yield joined[start : start + length]
                left = [joined[whole:]]
        except SpeechkitError:
            yield from left
            raise
        yield from left

    def _until_failure(self, blocks: Iterable[Waveform]) -> Iterator[Waveform]:
        """The blocks before an error, so that the resampler gives all of them."""
        try:
            with source_errors():
                yield from blocks
        except SpeechkitError as e:
            self._failure = e

    def _mixed(self, block: NDArray[np.float32]) -> Waveform:
        with np.errstate(over="ignore", invalid="ignore"):  # what isn't finite is refused after it
            mixed = self._mix(block)
        if self._mix.cancels:
            loudest = self._mix.loudest
            mixed = np.ascontiguousarray(block[:, loudest - 1])
            if not self._cancel:
                self._cancel = True
                self._remarks.append(
                    f"{self._name}: its channels cancel each other from "
                    f"{self._frames / self._rate:.1f} s on; only the loudest, channel {loudest}, "
                    "is heard"
                )
        self._frames += len(block)
        return mixed
