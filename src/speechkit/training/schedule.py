"""The learning rate of each step, and the seed of its chance."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """A linear rise to ``peak`` over ``warmup`` steps, then a linear fall to 0 at the end.

    The same as transformers' `get_linear_schedule_with_warmup`: a rise begins with a rate of 0.
    """

    peak: float
    warmup: int
    steps: int

    def rate(self, step: int) -> float:
        """Of a step, from 1 on."""
        before = step - 1
        if before < self.warmup:
            return self.peak * before / self.warmup
        return self.peak * max(0.0, (self.steps - before) / max(1, self.steps - self.warmup))


def usual_warmup(steps: int) -> int:
    """A tenth of the training, as in the recipes for Whisper."""
    return steps // 10


def step_seed(seed: int, step: int) -> int:
    """The seed of a step of a training: 63 bits, unlike those of its other steps."""
    digest = hashlib.blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
