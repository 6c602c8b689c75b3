"""Features to units: the nearest centroid of a k-means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechkit.engines.s2s import kmeans
from speechkit.errors import EngineMissing


class Quantizer:
    """Centroids [units, width], float32."""

    def __init__(self, centroids: Tensor) -> None:
        self._transposed = centroids.T.contiguous()
        self._squares = centroids.square().sum(dim=1)

    @classmethod
    def load(cls, path: Path, width: int, device: torch.device) -> Quantizer:
        """Read an ``.npz``. Raise `EngineMissing` for another file, or another width."""
        centroids = kmeans.read(path)
        if centroids.shape[1] != width:
            raise EngineMissing(
                f"--quantizer {path}: was made for features of {centroids.shape[1]} numbers; this "
                f"model's have {width}"
            )
        return cls(torch.from_numpy(centroids).to(device))

    @property
    def units(self) -> int:
        return len(self._squares)

    def __call__(self, features: Tensor) -> Tensor:
        """The unit of each frame. |x - c|² = |x|² - 2 x·c + |c|², in which |x|² decides nothing."""
        return (self._squares - 2 * (features.float() @ self._transposed)).argmin(dim=1)


def runs(units: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The units without repetitions, and the number of frames of each."""
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    return units[starts], np.diff(starts, append=len(units))
