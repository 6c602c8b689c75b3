from __future__ import annotations

from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechkit.records import Utterance
from speechkit.runtime.batching import (
    MOST,
    UNKNOWN_SECONDS,
    WINDOW,
    BatchSizes,
    batches,
    seconds,
)
from speechkit.runtime.pool_options import BATCHES_HELD


def utterances(durations: list[float | None]) -> list[Utterance]:
    return [Utterance(i, "/a", duration=d) for i, d in enumerate(durations)]


@given(st.lists(st.none() | st.floats(0.01, 100), max_size=60), st.floats(0.1, 200))
def test_every_utterance_comes_once_in_batches_that_fit(
    durations: list[float | None], batch_audio: float
) -> None:
    given = utterances(durations)
    made = list(batches(given, batch_audio))
    assert sorted(u.index for batch in made for u in batch) == list(range(len(given)))
    for batch in made:
        assert batch
        total = sum(u.duration or 10.0 for u in batch)
        assert len(batch) == 1 or total <= batch_audio * (1 + 1e-9)
    lengths = [u.duration or 10.0 for batch in made for u in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_a_batch_holds_a_limited_number() -> None:
    assert {len(batch) for batch in batches(utterances([0.001] * (MOST * 3)), 1e6)} == {MOST}


def test_the_input_is_read_no_further_than_a_window() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        for i in count():
            taken += 1
            yield Utterance(i, "/a", duration=5.0)

    list(islice(batches(endless(), 10.0), 3))  # type: ignore[arg-type]
    assert taken <= WINDOW + 1


def test_a_large_file_counts_as_long_as_its_header_says(tmp_path: Path) -> None:
    long, short = tmp_path / "long.wav", tmp_path / "short.wav"
    soundfile.write(long, np.zeros(16_000 * 60, np.float32), 16_000)
    soundfile.write(short, np.zeros(16_000, np.float32), 16_000)
    (tmp_path / "broken.wav").write_bytes(bytes(2_000_000))
    assert seconds(Utterance(0, str(long))) == 60.0
    assert seconds(Utterance(0, str(long), offset=50.0)) == 10.0
    assert seconds(Utterance(0, str(long), duration=3.0)) == 3.0
    for unknown in (short, tmp_path / "broken.wav", tmp_path / "none.wav"):
        assert seconds(Utterance(0, str(unknown))) == UNKNOWN_SECONDS


@given(st.integers(1, 40), st.integers(1, 7))
def test_no_batch_has_more_utterances_than_asked_for(count: int, most: int) -> None:
    made = list(batches(utterances([1.0] * count), 1000.0, BatchSizes(most=most)))
    assert [len(batch) for batch in made[:-1]] == [most] * (len(made) - 1)
    assert sum(map(len, made)) == count


ON_DEVICE = BatchSizes(most=512, least=32)


def sizes_of(total: int, workers: int, sizes: BatchSizes) -> list[int]:
    given = utterances([1.0] * total)
    return [len(batch) for batch in batches(given, 1e6, sizes, total=total, workers=workers)]


def test_batches_for_a_device_grow_from_a_small_one() -> None:
    assert sizes_of(3000, 1, ON_DEVICE) == [32, 64, 128, 256, 512, 32, 512, 512, 512, 440]


def ends(sizes: list[int], paces: list[float]) -> list[float]:
    """When each of several devices ends, with batches handed out as the pool does it. ``paces``:
    seconds a window of each device."""
    held: list[list[float]] = [[] for _ in paces]  # ends of the batches of each device
    for size in sizes:
        now = 0.0
        if all(len(one) >= BATCHES_HELD for one in held):
            now = min(one[-BATCHES_HELD] for one in held)
        idlest = min(range(len(paces)), key=lambda at: sum(end > now for end in held[at]))
        begins = max(now, held[idlest][-1] if held[idlest] else 0.0)
        held[idlest].append(begins + size * paces[idlest])
    return [one[-1] if one else 0.0 for one in held]


@pytest.mark.parametrize("total", [300, 1000, 3500])
@pytest.mark.parametrize("devices", [2, 3, 8])
def test_devices_end_together(total: int, devices: int) -> None:
    """Within the time of three small batches, though they differ in speed."""
    paces = [0.009 + 0.002 * at / devices for at in range(devices)]
    last = ends(sizes_of(total, devices, ON_DEVICE), paces)
    assert max(last) - min(last) <= 3 * 32 * max(paces)


def test_smaller_batches_have_less_audio() -> None:
    given = utterances([100.0] * 64)
    made = list(batches(given, 512 * 30.0, ON_DEVICE, total=64, workers=2))
    assert [len(batch) for batch in made] == [9, 9, 11, 9, 9, 9, 8]  # from 960 s on


def test_few_long_recordings_fill_the_batches_of_a_device() -> None:
    given = utterances([1190.0] * 20)
    made = list(batches(given, 512 * 30.0, ON_DEVICE, total=20, workers=1))
    assert [len(batch) for batch in made] == [1, 1, 3, 6, 9]
