"""Batches by padded length, of NeMo, encoders and vocoders."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from speechkit.engines.padded_batches import PaddedBatches
from speechkit.errors import OutOfMemory


class Device:
    """Holds a padded length of ``fits``. ``asked``: items and the longest of each batch that it was
    given, and nothing each time its cache was cleared."""

    def __init__(self, fits: int) -> None:
        self._fits = fits
        self.asked: list[tuple[int, ...]] = []

    def batches(self, most: int, length: int) -> PaddedBatches:
        return PaddedBatches(
            *(most, length),
            lambda error: isinstance(error, MemoryError),
            lambda: self.asked.append(()),
        )

    def compute(self, items: Sequence[str]) -> list[str]:
        longest = max(map(len, items))
        self.asked.append((len(items), longest))
        if len(items) * longest > self._fits:
            raise MemoryError("out of memory")
        return [item.upper() for item in items]


def assert_mapped(batches: PaddedBatches, lengths: Sequence[int], device: Device) -> None:
    items = ["abcdefg"[place % 7] * length for place, length in enumerate(lengths)]
    expected = [item.upper() for item in items]
    assert list(batches.map(items, lengths, device.compute)) == expected


def test_short_items_go_many_at_a_time_and_come_back_in_order() -> None:
    device = Device(fits=100)
    batches = device.batches(50, 100)
    assert_mapped(batches, [2] * 60 + [50, 30, 100, 40], device)
    assert device.asked == [(1, 100), (2, 50), (3, 30), (50, 2), (8, 2)]
    assert batches.size == 50
    assert_mapped(batches, [], device)


def test_an_item_above_the_limit_goes_alone() -> None:
    device = Device(fits=1000)
    assert_mapped(device.batches(4, 100), [300, 200, 20], device)
    assert device.asked == [(1, 300), (1, 200), (1, 20)]


def test_a_result_comes_as_soon_as_those_before_it_are_there() -> None:
    device = Device(fits=100)
    items = ["a" * length for length in (9, 3, 8, 7, 2)]
    results = device.batches(2, 100).map(items, [len(item) for item in items], device.compute)
    assert device.asked == []
    batches_before = [len(device.asked) for _ in results]
    assert batches_before == [1, 2, 2, 2, 3]


def test_memory_that_runs_out_halves_the_limit_for_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = Device(fits=100)
    batches = device.batches(64, 400)
    assert batches.size == 64
    assert_mapped(batches, [1] * 60, device)
    assert batches.size == 60
    device.asked.clear()
    assert_mapped(batches, [50] * 4 + [10] * 12, device)
    assert device.asked == [(8, 50), (), (4, 50), (), (2, 50), (2, 50), (10, 10), (2, 10)]
    assert batches.size == 10
    said = "out of memory with 8 windows at once; half as many from now on"
    assert caplog.messages[0] == said
    with pytest.raises(OutOfMemory, match="even alone: out of memory"):
        list(batches.map(["a" * 101], [101], device.compute))


@pytest.mark.parametrize(
    ("count", "longest", "full"), [(3, 30, True), (2, 30, False), (9, 1, True)]
)
def test_full(count: int, longest: int, full: bool) -> None:
    assert Device(0).batches(9, 100).is_full(count, longest) is full
