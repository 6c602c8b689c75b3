"""Batches of NeMo's engine, by padded length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from speechkit.engines.asr.nemo.padded_batches import PaddedBatches
from speechkit.errors import OutOfMemory


class Device:
    """Holds ``fits`` samples. ``asked``: windows and the longest of each batch that it was given,
    and nothing each time its cache was cleared."""

    def __init__(self, fits: int) -> None:
        self._fits = fits
        self.asked: list[tuple[int, ...]] = []

    def batches(self, windows: int, samples: int) -> PaddedBatches:
        return PaddedBatches(
            *(windows, samples),
            lambda error: isinstance(error, MemoryError),
            lambda: self.asked.append(()),
        )

    def compute(self, windows: Sequence[Any]) -> list[int]:
        longest = max(map(len, windows))
        self.asked.append((len(windows), longest))
        if len(windows) * longest > self._fits:
            raise MemoryError("out of memory")
        return [len(window) for window in windows]


def windows(*lengths: int) -> list[Any]:
    return [np.zeros(length, np.float32) for length in lengths]


def test_short_windows_go_many_at_a_time_and_come_back_in_order() -> None:
    device = Device(fits=100)
    batches = device.batches(50, 100)
    lengths = [2] * 60 + [50, 30, 100, 40]
    assert batches.map(windows(*lengths), device.compute) == lengths
    assert device.asked == [(1, 100), (2, 50), (3, 30), (50, 2), (8, 2)]
    assert batches.size == 50
    assert batches.map([], device.compute) == []


def test_a_window_above_the_limit_goes_alone() -> None:
    device = Device(fits=1000)
    assert device.batches(4, 100).map(windows(300, 200, 20), device.compute) == [300, 200, 20]
    assert device.asked == [(1, 300), (1, 200), (1, 20)]


def test_memory_that_runs_out_halves_the_limit_for_good() -> None:
    device = Device(fits=100)
    batches = device.batches(64, 400)
    assert batches.map(windows(*[50] * 4, *[10] * 12), device.compute) == [50] * 4 + [10] * 12
    assert device.asked == [(8, 50), (), (4, 50), (), (2, 50), (2, 50), (10, 10), (2, 10)]
    with pytest.raises(OutOfMemory, match="even alone: out of memory"):
        batches.map(windows(101), device.compute)


@pytest.mark.parametrize(
    ("count", "longest", "full"), [(3, 30, True), (2, 30, False), (9, 1, True)]
)
def test_full(count: int, longest: int, full: bool) -> None:
    assert Device(0).batches(9, 100).is_full(count, longest) is full


def test_other_errors_pass() -> None:
    def broken(_: Sequence[Any]) -> list[int]:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        Device(0).batches(9, 100).map(windows(1), broken)
