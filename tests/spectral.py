"""An engine of the tests: the mean spectrum of speech, which takes no model and no time.

As another package's, by the entry point ``spectral``. Its options make it fail: with ``broken``,
its vector of any window longer than so many seconds is NaN; with ``most``, memory runs out for more
windows at once, and with -1 for any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.batch_size import BatchSize
from speechkit.engines.engine_info import EngineInfo
from speechkit.engines.options import EngineOptions, option
from speechkit.engines.protocols import DeviceUse, EmbedEngine, Pooled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

FRAME, HOP, WIDTH = 400, 160, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralOptions(EngineOptions):
    device: str = "auto"
    batch_size: int = 0
    pooling: str = option("mean", choices=("mean", "max"), help="mean or max.")
    width: int = option(WIDTH, help="Width of the vectors.")
    heads: str = option("", help="Names of adapters.")
    longest: float = option(20.0, help="Seconds of the longest window.")
    broken: float = option(0.0, pins=False, help="Windows longer than this are NaN.")
    most: int = option(0, pins=False, help="Windows that fit in memory.")


class Spectral(EmbedEngine):
    shortest = FRAME

    def __init__(self, options: SpectralOptions) -> None:
        self._options = options
        self.pooling = options.pooling
        self.longest = int(options.longest * 16_000)
        self._size = BatchSize(64, lambda e: isinstance(e, MemoryError), lambda: None)

    def pool(self, windows: Sequence[Waveform]) -> list[Pooled]:
        return self._size.map_halving(windows, self._computed)

    def _computed(self, windows: Sequence[Waveform]) -> list[Pooled]:
        if self._options.most and len(windows) > max(0, self._options.most):
            raise MemoryError(f"{len(windows)} windows")
        return [self._pooled(window) for window in windows]

    def _pooled(self, window: Waveform) -> Pooled:
        frames = np.lib.stride_tricks.sliding_window_view(window, FRAME)[::HOP]
        spectra = np.abs(np.fft.rfft(frames, n=2 * FRAME)[:, : self._options.width])
        vector = spectra.max(axis=0) if self.pooling == "max" else spectra.mean(axis=0)
        if 0 < self._options.broken * 16_000 < len(window):
            vector[3] = np.nan
        return Pooled(vector.astype(np.float32), len(frames))

    def finish(self, pooled: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        names = filter(None, self._options.heads.split(","))
        heads = {name: pooled[:, : number + 2] for number, name in enumerate(names)}
        return {"embeddings": pooled, **heads}

    def device_use(self) -> DeviceUse:
        return DeviceUse("cpu", "float32", self._size.size, 0.0)


INFO = EngineInfo(
    stage="embed",
    name="spectral",
    target="spectral:Spectral",
    options=SpectralOptions,
    batch_audio=60.0,
    batched=True,
)
