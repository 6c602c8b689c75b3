"""Work done ahead, and less of it at once when memory runs out."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from speechkit.engines.asr.whisper import memory
from speechkit.engines.batch_size import BatchSize
from speechkit.engines.prefetch import AHEAD, prefetched
from speechkit.engines.torch import device as torch_device
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


@pytest.mark.parametrize(("fits", "left"), [(4, 4), (3, 2), (1, 1)])
def test_calls_have_more_items_than_are_computed_at_once(fits: int, left: int) -> None:
    device = Crowded(99)
    batch = BatchSize(4, device.is_full, lambda: None, each=3)

    def compute(items: Sequence[int]) -> list[int]:
        if batch.size > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return device.compute(items)

    assert batch.map_halving(range(20), compute) == [i * 10 for i in range(20)]
    assert batch.size == left
    assert max(device.asked) == batch.together == (1 if left == 1 else 3 * left)


def test_a_size_is_corrected_once_after_a_whole_batch() -> None:
    device, tried = Crowded(99), []

    def corrected(size: int) -> int:
        tried.append(size)
        return 10

    batch = BatchSize(4, device.is_full, lambda: device.asked.append(0), corrected=corrected)
    batch.map_halving(range(3), device.compute)
    assert (batch.size, device.asked) == (4, [3])
    assert batch.map_halving(range(20), device.compute) == [i * 10 for i in range(20)]
    assert device.asked == [3, 4, 0, 10, 6]
    assert tried == [4]


def test_a_size_that_was_halved_is_not_corrected() -> None:
    device = Crowded(3)
    batch = BatchSize(8, device.is_full, lambda: None, corrected=lambda size: 64)
    batch.map_halving(range(20), device.compute)
    assert batch.size == 2


GB = 10**9


@pytest.mark.parametrize(
    ("room", "window", "others", "size"),
    [(80 * GB, GB, 0, 56), (80 * GB, GB, 20 * GB, 32), (80 * GB, GB // 10, 0, 256), (GB, GB, 0, 1)],
)
def test_windows_that_fit(room: int, window: int, others: int, size: int) -> None:
    assert torch_device.fitting(room, window, others, 256) == size


@pytest.mark.parametrize(
    ("size", "taken", "corrected"),
    [
        (64, 56 * GB, 64),  # as it was meant to be
        (64, 48 * GB, 64),
        (64, 28 * GB, 128),
        (64, 5 * GB, 256),
        (64, 75 * GB, 40),
        (2, 79 * GB, 1),
    ],
)
def test_the_size_that_the_memory_taken_allows(size: int, taken: int, corrected: int) -> None:
    """In 80 GB, of which fragments and peaks may have three tenths."""
    assert torch_device.corrected(size, taken, 80 * GB, 256) == corrected


@pytest.mark.parametrize(
    ("layers", "gigabytes", "rows"), [(4, 80, 256), (4, 20, 160), (32, 80, 152), (32, 16, 24)]
)
def test_rows_of_a_large_whisper(layers: int, gigabytes: int, rows: int) -> None:
    """The geometry of large-v3-turbo and of large-v3 in bfloat16."""
    config: Any = SimpleNamespace(
        d_model=1280,
        num_mel_bins=128,
        vocab_size=51_866,
        decoder_layers=layers,
        max_source_positions=1500,
        max_target_positions=448,
    )
    row = memory.of_row(config, 2, 1) + 2 * memory.of_window(config, 2)
    assert torch_device.fitting(gigabytes * GB, row, memory.of_encoder(config, 2), 256) == rows


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
    """Which waits for the item that is being computed."""
    before = threading.active_count()
    computing = threading.Event()
    made: list[int] = []

    def items() -> Iterator[int]:
        yield 0
        computing.set()
        time.sleep(0.2)
        made.append(1)
        yield from range(1, 1000)

    reader = prefetched(items())
    next(reader)
    computing.wait()
    reader.close()
    assert made == [1]
    assert threading.active_count() == before


def test_a_reader_that_is_never_closed_does_not_keep_the_process() -> None:
    """As in a script that fails while it reads: joining a thread would then last for ever on
    Python 3.13."""
    code = """
from itertools import count
from speechkit.engines.prefetch import prefetched
def main():
    reader = prefetched(count())
    raise ArithmeticError(next(reader))
main()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.endswith("\nArithmeticError: 0\n")
