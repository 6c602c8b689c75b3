"""Which examples each step of a training learns from: a pure function of the step's number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = 50  # steps whose examples are sorted together


@dataclass(frozen=True, slots=True)
class Draw:
    """A use of an example. ``epoch``: how often all examples have been gone through before."""

    index: int
    epoch: int


class BatchPlan:
    """Shuffles examples anew in each epoch, and puts those of similar ``lengths`` into a step.

    Each epoch has every example once. Its order is random; windows of `WINDOW` steps are sorted by
    length and cut into steps, and the steps are shuffled. The last step of an epoch has what is
    left over, and may be smaller.
    """

    def __init__(self, lengths: Sequence[int], examples_per_step: int, seed: int) -> None:
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._size = examples_per_step
        self._seed = seed
        self.steps_per_epoch = -(-len(self._lengths) // examples_per_step)
        self._held: tuple[int, NDArray[np.int64]] | None = None

    def step(self, number: int) -> tuple[Draw, ...]:
        """The examples of step ``number``, from 1 on, the longest first."""
        epoch, place = divmod(number - 1, self.steps_per_epoch)
        if self._held is None or self._held[0] != epoch:
            self._held = epoch, self._order(epoch)
        indices = self._held[1][place * self._size : (place + 1) * self._size]
        indices = indices[np.argsort(-self._lengths[indices], kind="stable")]
        return tuple(Draw(int(index), epoch) for index in indices)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """All examples in the order of an epoch."""
        seeds = np.random.SeedSequence(self._seed, spawn_key=(epoch,))
        chance = np.random.Generator(np.random.Philox(seeds))
        order = chance.permutation(len(self._lengths))
        steps = len(order) // self._size
        whole = order[: steps * self._size]
        windows = np.arange(len(whole)) // (WINDOW * self._size)
        by_length = whole[np.lexsort((self._lengths[whole], windows))].reshape(steps, self._size)
        return np.concatenate([chance.permutation(by_length).reshape(-1), order[len(whole) :]])
