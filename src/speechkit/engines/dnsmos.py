"""DNSMOS: how listeners would rate speech, from 1 to 5, by Microsoft's networks (MIT).

C. Reddy et al., DNSMOS P.835 (2022): the signal, the background and the overall quality; DNSMOS
(2021) for P.808: the overall quality. The weights are those of PyPI's `speechmos`, which is never
imported; windows and formulas are those of its dnsmos.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.mel_filters import HOP, filters
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineMissing
from speechkit.io.packaged_models import verified_content

try:
    from speechkit.engines.onnx_session import session
except ImportError as error:
    raise EngineMissing("--mos needs onnxruntime: run `pip install onnxruntime`.") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

MEASURES = ("mos_signal", "mos_background", "mos_overall", "mos_p808")
FOLDER = "speechmos/dnsmos_models"
INSTALL = "pip install 'speechkit[mos]'"
P835 = ("sig_bak_ovr.onnx", "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd")
P808 = ("model_v8.onnx", "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91")

SECONDS = 9.01  # of a window
WINDOW = 144_160  # samples of it
STEP = SAMPLE_RATE  # samples from one window to the next
#: From the ratings of P835's network to the scale of listeners, highest power first.
SCALES = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)
BANDS, FFT = 120, 321  # of the spectra that P808's network takes
HANN = np.hanning(FFT + 1)[:-1]
FLOOR, RANGE = 1e-10, 80.0  # power; dB below the loudest


class Dnsmos:
    """The networks, built once in each worker process: 1 s of a core for each second of audio.

    Raise `EngineMissing` where the weights are not installed or damaged.
    """

    def __init__(self) -> None:
        self._p835, self._p808 = (session(_weights(*network)) for network in (P835, P808))
        self._filters = filters(BANDS, FFT).T

    def ratings(self, stretches: Iterable[Waveform]) -> dict[str, float]:
        """The mean ratings of a waveform, by the names of `MEASURES`; none for no samples."""
        rated = [self._rate(window) for window in windows(stretches)]
        if not rated:
            return {}
        return dict(zip(MEASURES, np.mean(rated, axis=0).tolist(), strict=True))

    def _rate(self, window: Waveform) -> NDArray[np.float64]:
        """The ratings [4] of a window, in the order of `MEASURES`."""
        ((raw,),) = self._p835.run(None, {"input_1": window[None]})
        mels = self._mels(window[:-HOP]).astype(np.float32)
        (((p808,),),) = self._p808.run(None, {"input_1": mels[None]})
        p835 = [np.polyval(scale, float(one)) for scale, one in zip(SCALES, raw, strict=True)]
        return np.array([*p835, float(p808)])

    def _mels(self, samples: Waveform) -> NDArray[np.float64]:
        """Levels of bands [900, 120], from -1 to 1: 0 is 40 dB below the loudest.

        Frame i is centred at sample 160 i, with silence around.
        """
        padded = np.pad(samples.astype(np.float64), FFT // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
        power = np.abs(np.fft.rfft(frames * HANN)) ** 2 @ self._filters
        levels = 10 * np.log10(np.maximum(power, FLOOR))
        shown: NDArray[np.float64] = np.maximum(levels - levels.max(), -RANGE) / 40 + 1
        return shown


def windows(stretches: Iterable[Waveform]) -> Iterator[Waveform]:
    """The windows of a waveform that are rated: of 9.01 s, one a second.

    A shorter waveform is repeated. At most a window and a stretch are held.
    """
    rest: Waveform = np.empty(0, np.float32)
    number = 0  # of the window that begins with the rest
    for stretch in stretches:
        rest = np.concatenate((rest, stretch.clip(-1, 1)))
        while len(rest) >= STEP + WINDOW:
            yield from _window(rest, number)
            rest, number = rest[STEP:], number + 1
    while 0 < len(rest) < WINDOW:
        rest = np.concatenate((rest, rest))
    seconds = number + len(rest) // SAMPLE_RATE
    for last in range(number, max(1, seconds - int(SECONDS)) if len(rest) else 0):
        yield from _window(rest[(last - number) * STEP :], last)


def _window(rest: Waveform, number: int) -> Iterator[Waveform]:
    # speechmos leaves out windows whose end its arithmetic puts a sample early: 7 to 23, 119, …
    if int((number + SECONDS) * SAMPLE_RATE) - number * STEP == WINDOW:
        yield rest[:WINDOW]


def require_weights() -> None:
    """Raise `EngineMissing` where the weights are not installed or damaged."""
    for network in (P835, P808):
        _weights(*network)


def _weights(name: str, sha256: str) -> bytes:
    return verified_content("speechmos", f"{FOLDER}/{name}", sha256, INSTALL)
