"""Smoothed values of a training."""

from __future__ import annotations

import math


class SmoothedMean:
    """The exponential mean, which begins as the mean of all values so far; NaN before the first.

    ``share``: of the latest value, at the least.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._count = 0
        self.value = math.nan

    def add(self, value: float) -> None:
        """A value that is NaN or infinite changes nothing."""
        if not math.isfinite(value):
            return
        self._count += 1
        before = value if self._count == 1 else self.value
        self.value = before + (value - before) * max(self._share, 1 / self._count)
