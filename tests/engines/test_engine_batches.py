"""Work done ahead, and less of it at once when memory runs out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
import torch

from speechkit.engines.batch_size import BatchSize
from speechkit.engines.prefetch import AHEAD, prefetched
from speechkit.errors import OutOfMemory


class Crowded:
    """A device that holds ``fits`` items at once; ``asked``: the sizes it was given, 0 for each
    time its cache was cleared."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.asked: list[int] = []

    def batches(self, size: int) -> BatchSize:
        return BatchSize(size, self.is_full, lambda: self.asked.append(0))

    def is_full(self, error: Exception) -> bool:
        return isinstance(error, torch.OutOfMemoryError)

    def compute(self, items: Sequence[int]) -> list[int]:
        self.asked.append(len(items))
        if len(items) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [item * 10 for item in items]


@pytest.mark.parametrize(("size", "fits", "left"), [(16, 16, 16), (16, 5, 4), (7, 1, 1), (3, 2, 1)])
def test_a_batch_that_does_not_fit_is_halved_and_that_remembered(
    size: int, fits: int, left: int
) -> None:
    device = Crowded(fits)
    batch = device.batches(size)
    assert batch.map_halving(range(20), device.compute) == [i * 10 for i in range(20)]
    assert batch.size == left
    before = len(device.asked)
    batch.map_halving(range(20), device.compute)
    assert 0 not in device.asked[before:]


def test_what_does_not_fit_alone_is_an_error_of_its_own() -> None:
    device = Crowded(0)
    with pytest.raises(OutOfMemory, match="even alone: CUDA out of memory"):
        device.batches(4).map_halving([1], device.compute)


def test_other_errors_pass() -> None:
    batch = Crowded(4).batches(4)

    def broken(_: Sequence[int]) -> list[int]:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        batch.map_halving([1], broken)
    assert batch.size == 4


def test_ahead_makes_a_few_and_waits() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1, 100):
            made.append(number)
            yield number

    reader = prefetched(items())
    assert next(reader) == 1
    time.sleep(0.3)
    assert len(made) <= 1 + AHEAD + 1
    assert list(reader) == list(range(2, 100))


def test_an_error_comes_where_its_item_would() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ArithmeticError("the second")

    reader = prefetched(items())
    assert next(reader) == 1
    with pytest.raises(ArithmeticError, match="the second"):
        next(reader)


def test_the_thread_ends_with_its_reader() -> None:
    before = threading.active_count()
    reader = prefetched(iter(range(1000)))
    next(reader)
    reader.close()
    end = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.02)
