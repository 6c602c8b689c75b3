"""Answers of a network that hears speech later than it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LateFrames:
    """The probabilities of frames from a network's answers, which are given in order.

    A frame's probability is the answer that comes ``late`` answers after the frame's own. The last
    frames, for which there is none, repeat the last answer. The first ``before`` answers belong to
    no frame.
    """

    def __init__(self, late: int, *, before: int = 0) -> None:
        self._late = late
        self._to_skip = before + late
        self._last = np.zeros(0, np.float32)

    def known(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames that the next ``answers`` describe."""
        skipped = min(self._to_skip, len(answers))
        self._to_skip -= skipped
        if len(answers):
            self._last = answers[-1:].copy()
        return answers[skipped:]

    def last(self) -> NDArray[np.float32]:
        """The frames that are left after the last answer."""
        return np.repeat(self._last, self._late - self._to_skip)
