"""How long things take, in flat memory."""

from __future__ import annotations

from collections import Counter

_STEPS = 100  # a second
_MOST = 1000 * _STEPS  # steps; longer times count as that


class Times:
    """Quantiles of times, to a hundredth of a second."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float) -> None:
        self._steps[min(max(0, round(seconds * _STEPS)), _MOST)] += 1
        self.count += 1

    def quantile(self, share: float) -> float | None:
        """The least time that a ``share`` of them, above 0, doesn't exceed; None without any."""
        left = share * self.count
        for step in sorted(self._steps):
            left -= self._steps[step]
            if left <= 0:
                return step / _STEPS
        return None

    def to_json(self) -> dict[str, float | None]:
        return {"p50": self.quantile(0.5), "p90": self.quantile(0.9), "most": self.quantile(1.0)}
