"""Channels against each other: the same, or silent."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWEST = 1e-12  # of the loudest power: -120 dB


class Channels:
    """Powers of channels, and of the differences between any two of them."""

    def __init__(self, channels: int) -> None:
        self._powers = np.zeros(channels)
        self._pairs = list(itertools.combinations(range(channels), 2))
        self._differences = np.zeros(len(self._pairs))

    def add(self, seconds: NDArray[np.float32]) -> None:
        """``seconds`` [channels, seconds, samples]."""
        if len(seconds) == 1:
            return
        self._powers += np.einsum("cns,cns->c", seconds, seconds)
        for number, (one, other) in enumerate(self._pairs):
            difference = seconds[one] - seconds[other]
            self._differences[number] += np.einsum("ns,ns->", difference, difference)

    @property
    def values(self) -> dict[str, Any]:
        """None of a single channel, nor of silence."""
        loudest = float(self._powers.max())
        if not loudest or not self._pairs:
            return {}
        differences = [
            difference / power
            for difference, (one, other) in zip(self._differences, self._pairs, strict=True)
            if (power := max(self._powers[one], self._powers[other]))
        ]
        return {
            "channel_difference": _decibels(min(differences, default=1.0)),
            "channel_balance": _decibels(float(self._powers.min()) / loudest),
        }


def _decibels(share: float) -> float:
    return 10 * math.log10(max(share, LOWEST))
