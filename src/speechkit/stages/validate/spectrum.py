"""The long-term spectrum: the bandwidth that is really used, and mains hum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND = 100.0  # Hz, of the bands in which a cut-off is looked for
NARROW = 4500.0  # Hz: a sample rate of up to twice as much leaves no more to lose
LOWEST = 2500.0  # Hz, of a cut-off: below it, vowels fall as steeply
BELOW = 5  # bands below a cut-off, whose mean level is compared
TRANSITION = 5  # bands within which a filter falls
CLIFF = 25.0  # dB by which all above a cut-off is weaker; natural spectra fall by less

MAINS = (50, 60)  # Hz
HARMONICS = (1, 2, 3)
LINE = 2.0  # Hz on both sides of a harmonic that belong to its line
NEIGHBOURS = (3.5, 8.0)  # Hz from it, to compare with
PROMINENT = 12.0  # dB of a line above its neighbours


class Spectrum:
    """Mean power spectrum of all channels, with a Hann window, and that of lines of the mains."""

    def __init__(self, rate: int, size: int) -> None:
        self._rate = rate
        self._resolution = rate / size  # Hz
        self._power = np.zeros(size // 2 - 1)  # of the bins from 1 on
        self._lines = [
            [_Line(harmonic * mains, self._resolution) for harmonic in HARMONICS] for mains in MAINS
        ]
        # From a sum of squares to a mean square, of a Hann window: its own mean square is 3/8.
        self._scale = 2 / (0.375 * size**2)
        self._rows = 0

    def add(self, spectra: NDArray[np.complexfloating]) -> None:
        """``spectra`` [channels, seconds, bins], without a window: it is applied here."""
        windowed = spectra[..., 1:-1] * np.float32(0.5)
        windowed -= np.float32(0.25) * spectra[..., :-2]
        windowed -= np.float32(0.25) * spectra[..., 2:]
        powers = np.square(windowed.real)
        powers += np.square(windowed.imag)
        rows = powers.mean(axis=0)
        for line in (line for lines in self._lines for line in lines):
            line.add(rows)
        self._power += rows.sum(axis=0)
        self._rows += len(rows)

    def add_short(self, sound: NDArray[np.float32], size: int) -> None:
        """``sound`` [channels, samples]: all of a recording shorter than a row."""
        length = sound.shape[-1]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        spectra = np.fft.rfft((sound - sound.mean(axis=-1, keepdims=True)) * window, size)
        self._power += np.square(np.abs(spectra)).sum(axis=0)[1:-1]

    @property
    def is_empty(self) -> bool:
        return self._rows == 0

    @property
    def bandwidth(self) -> float | None:
        """In Hz; None for silence."""
        half = self._rate / 2
        if not self._power.any():
            return None
        if half <= NARROW:
            return half
        count = int(half // BAND)
        edges = np.round(np.arange(count) * BAND / self._resolution).astype(int)
        levels = 10 * np.log10(np.add.reduceat(self._power, edges) + 1e-30)
        levels[-1] = levels[-2]  # the last one may be narrower
        above = np.maximum.accumulate(levels[::-1])[::-1]  # the highest from here on
        below = np.convolve(levels, np.full(BELOW, 1 / BELOW), "valid")
        cliffs = below[: count - BELOW - TRANSITION] - above[BELOW + TRANSITION :]
        first = int(LOWEST // BAND) - BELOW
        at = first + int(np.argmax(cliffs[first:]))
        if cliffs[at] < CLIFF:
            return half
        middle = above[at + BELOW + TRANSITION] + cliffs[at] / 2
        return float((np.flatnonzero(levels > middle)[-1] + 1) * BAND)

    def hum(self, power: float) -> dict[str, Any]:
        """Its level in dB against the mean ``power`` of the sound, and its frequency in Hz.

        A line at the mains frequency itself is hum. Lines at twice and three times it are, if both
        are there: one alone may be a voice.
        """
        levels = {}
        for mains, lines in zip(MAINS, self._lines, strict=True):
            first, second, third = (line.prominence for line in lines)
            if power and max(first, min(second, third)) > PROMINENT:
                excess = sum(line.excess for line in lines if line.prominence > PROMINENT)
                share = excess * self._scale / self._rows / power
                levels[mains] = 10 * math.log10(max(share, 1e-12))
        if not levels:
            return {"hum": None}
        loudest = max(levels, key=lambda mains: levels[mains])
        return {"hum": levels[loudest], "hum_frequency": loudest}


class _Line:
    """The power of a frequency, and that beside it."""

    def __init__(self, frequency: float, resolution: float) -> None:
        def bins(start: float, stop: float) -> slice:
            return slice(round(start / resolution) - 1, round(stop / resolution))

        nearest, farthest = NEIGHBOURS
        self._line = bins(frequency - LINE, frequency + LINE)
        self._below = bins(frequency - farthest, frequency - nearest)
        self._above = bins(frequency + nearest, frequency + farthest)
        self._decibels = 0.0
        self._rows = 0
        self.excess = 0.0  # sum of squares above what the neighbours have

    def add(self, powers: NDArray[np.float32]) -> None:
        """``powers`` [seconds, bins from 1 on]; seconds of digital silence are left out."""
        lines = powers[:, self._line]
        beside = np.concatenate((powers[:, self._below], powers[:, self._above]), axis=1)
        floor = np.median(beside, axis=1)
        heard = floor > 0
        if not heard.any():
            return
        means = lines.mean(axis=1)[heard]
        self._decibels += float(10 * np.log10(np.maximum(means / floor[heard], 1e-9)).sum())
        self._rows += int(heard.sum())
        self.excess += float(((means - floor[heard]) * lines.shape[1]).sum())

    @property
    def prominence(self) -> float:
        """In dB, above its neighbours: the mean of all seconds."""
        return self._decibels / self._rows if self._rows else 0.0
