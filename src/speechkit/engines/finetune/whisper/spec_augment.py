"""SpecAugment (Park et al. 2019): bands and stretches of the features are masked."""

from __future__ import annotations

import numpy as np
from torch import Tensor

MASKS = 2  # bands, and as many stretches
BAND = 27 / 80  # of the mels, at most
STRETCH = 100  # frames, at most, and
SHARE = 0.2  # of the utterance's frames


def mask(features: Tensor, frames: int, seed: int) -> None:
    """Mask the ``features`` [mels, frames] of an utterance of ``frames`` frames by their mean."""
    heard = features[:, :frames]
    chance = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    mean = heard.mean()
    longest = (int(BAND * len(features)), int(min(STRETCH, SHARE * frames)))
    for _ in range(MASKS):
        for axis, most in enumerate(longest):
            width = int(chance.integers(most + 1))
            start = int(chance.integers(heard.shape[axis] - width + 1))
            heard.narrow(axis, start, width).copy_(mean.expand(1, 1))
