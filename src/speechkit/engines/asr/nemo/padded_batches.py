"""Batches of windows, limited by their number and by the length they are padded to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from speechkit.errors import OutOfMemory

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class PaddedBatches:
    """Batches of at most ``windows`` windows and ``samples`` samples: windows times the longest.

    ``samples`` are halved when memory runs out, and stay so. ``out_of_memory`` tells whether an
    exception means that; ``free`` releases cached memory.
    """

    def __init__(
        self,
        windows: int,
        samples: int,
        out_of_memory: Callable[[Exception], bool],
        free: Callable[[], None],
    ) -> None:
        self._windows, self._samples = windows, samples
        self._out_of_memory = out_of_memory
        self._free = free
        self._largest = 0

    @property
    def size(self) -> int:
        """Windows in the largest batch since memory last ran out; before any, the limit."""
        return self._largest or self._windows

    def is_full(self, windows: int, longest: int) -> bool:
        """Whether so many windows, the longest of ``longest`` samples, fill a batch."""
        return windows >= min(self._windows, self._samples // max(1, longest))

    def map(
        self, windows: Sequence[Waveform], compute: Callable[[Sequence[Waveform]], list[Result]]
    ) -> list[Result]:
        """Compute batches of windows of similar length; return a result for each, in order.

        Raise `OutOfMemory` where a single window is too large.
        """
        by_length = sorted(range(len(windows)), key=lambda index: len(windows[index]), reverse=True)
        results: dict[int, Result] = {}
        while indices := by_length[len(results) :]:
            longest = len(windows[indices[0]])
            fitting = min(self._windows, self._samples // max(1, longest))
            indices = indices[: max(1, fitting)]
            computed = self._computed([windows[index] for index in indices], compute)
            if computed is not None:
                results.update(zip(indices, computed, strict=True))
        return [results[index] for index in range(len(windows))]

    def _computed(
        self, batch: Sequence[Waveform], compute: Callable[[Sequence[Waveform]], list[Result]]
    ) -> list[Result] | None:
        """The results, or None if memory ran out and the limit has been halved."""
        try:
            results = compute(batch)
        except Exception as e:
            if not self._out_of_memory(e):
                raise
            message = str(e).split("\n", 1)[0]
        else:
            self._largest = max(self._largest, len(batch))
            return results
        self._free()  # outside the handler, whose exception holds the tensors
        if len(batch) == 1:
            raise OutOfMemory(f"it does not fit in memory even alone: {message}")
        self._samples, self._largest = len(batch) * len(batch[0]) // 2, 0
        log.warning("out of memory with %d windows at once; half as many from now on", len(batch))
        return None
