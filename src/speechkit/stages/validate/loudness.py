"""Integrated loudness by ITU-R BS.1770-4, as sound comes, with the filters of pyloudnorm.

The K-weighting is applied to spectra of rows: its response dies away within their lead.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from speechkit.stages.validate.framing import Framing

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 10  # a second; gating blocks begin at each
STEPS_OF_BLOCK = 4
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU
OFFSET = -0.691  # dB, of BS.1770
SURROUND = 1.41  # weight of the fourth and the fifth channel


class Loudness:
    """Mean squares of K-weighted sound, one for each tenth of a second."""

    def __init__(self, framing: Framing, channels: int) -> None:
        self._framing = framing
        rate = framing.rate
        self._response = k_weighting(rate, framing.size)
        self._bounds = np.array([round(step * rate / STEPS) for step in range(STEPS + 1)])
        self._weights = np.array([1, 1, 1, SURROUND, SURROUND] + [1] * channels)[:channels]
        self._steps: list[NDArray[np.float64]] = []
        self._rest = np.zeros(0)  # squares of an unfinished step
        self._samples = 0

    def add(self, spectra: NDArray[np.complexfloating], samples: int) -> None:
        """``spectra`` [channels, seconds, bins] of rows, of whose second ``samples`` are sound."""
        framing = self._framing
        sound = np.fft.irfft(spectra * self._response, framing.size)
        sound = sound[..., framing.lead : framing.lead + samples]
        sound *= sound
        bounds = self._bounds[self._bounds < samples]
        energies = np.add.reduceat(sound, bounds, axis=-1).astype(np.float64)
        self._steps.append(np.tensordot(self._weights, energies, 1).ravel())
        self._samples += samples * sound.shape[1]

    @property
    def value(self) -> float:
        """In LUFS, -inf where nothing passes the gates. Less than 0.4 s count as one block."""
        if not self._samples:
            return -math.inf
        rate = self._framing.rate
        steps = np.concatenate(self._steps)
        tenths = self._samples / rate * STEPS
        if tenths < STEPS_OF_BLOCK:
            powers = steps.sum(keepdims=True) / self._samples
        else:  # as pyloudnorm: the last block may lack up to half a step
            blocks = round(tenths - STEPS_OF_BLOCK) + 1
            padded = np.pad(steps, (0, STEPS_OF_BLOCK))
            sums = sum(padded[first : first + blocks] for first in range(STEPS_OF_BLOCK))
            powers = np.asarray(sums) / (STEPS_OF_BLOCK / STEPS * rate)
        return _gated(powers)


def _gated(powers: NDArray[np.float64]) -> float:
    """The loudness of the gating blocks that pass both gates."""
    levels = loudness_of(powers)
    loud = powers[levels >= ABSOLUTE_GATE]
    if not len(loud):
        return -math.inf
    threshold = max(ABSOLUTE_GATE, float(loudness_of(loud.mean())) + RELATIVE_GATE)
    return float(loudness_of(powers[levels > threshold].mean()))


def loudness_of(power: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return OFFSET + 10 * np.log10(power)


@functools.lru_cache(maxsize=8)
def k_weighting(rate: int, size: int) -> NDArray[np.complex64]:
    """The response [bins] to a spectrum over ``size`` samples: a high shelf and a high pass.

    Biquads of R. Bristow-Johnson's "Cookbook formulae for audio EQ" with the parameters of
    pyloudnorm, which come within 0.1 dB of those that BS.1770 tabulates for 48 kHz.
    """
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    shelf = _response(_high_shelf(1500 / rate, gain=4.0, q=1 / math.sqrt(2)), delay)
    high_pass = _response(_high_pass(38 / rate, q=0.5), delay)
    return (shelf * high_pass).astype(np.complex64)


Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]


def _high_shelf(frequency: float, gain: float, q: float) -> Biquad:
    a = 10 ** (gain / 40)
    cosine = math.cos(2 * math.pi * frequency)
    slope = math.sqrt(a) * math.sin(2 * math.pi * frequency) / q
    up, down = a + 1, a - 1
    return (
        (
            a * (up + down * cosine + slope),
            -2 * a * (down + up * cosine),
            a * (up + down * cosine - slope),
        ),
        (up - down * cosine + slope, 2 * (down - up * cosine), up - down * cosine - slope),
    )


def _high_pass(frequency: float, q: float) -> Biquad:
    cosine = math.cos(2 * math.pi * frequency)
    alpha = math.sin(2 * math.pi * frequency) / (2 * q)
    half = (1 + cosine) / 2
    return (half, -2 * half, half), (1 + alpha, -2 * cosine, 1 - alpha)


def _response(biquad: Biquad, delay: NDArray[np.complex128]) -> NDArray[np.complex128]:
    above, below = (c0 + delay * (c1 + delay * c2) for c0, c1, c2 in biquad)
    return above / below
