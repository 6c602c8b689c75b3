"""What workers waited for, as the summary tells it."""

from __future__ import annotations

import time

import pytest

from speechkit.engines.protocols import DeviceUse
from speechkit.engines.stopwatch import Stopwatch
from speechkit.runtime.summary import device_account
from speechkit.runtime.waiting import with_waiting


def use(**parts: float) -> DeviceUse:
    return DeviceUse("cuda:0", "bfloat16", 64, sum(parts.values()), parts=parts)


def test_shares_of_all_workers_add_up() -> None:
    workers = [
        with_waiting(use(features=1.0, encoder=3.0, decoder=4.0), audio=1.0, total=10.0),
        with_waiting(use(features=1.0, encoder=2.0, decoder=7.0), audio=0.0, total=10.0),
    ]
    account = device_account(workers, wall_seconds=20.0)
    assert account
    shares = account["waited_for"]
    assert list(shares.items()) == [
        *(("decoder", 0.55), ("encoder", 0.25), ("features", 0.1)),
        *(("audio", 0.05), ("other", 0.05)),
    ]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_an_engine_without_parts_is_one() -> None:
    whole = with_waiting(DeviceUse("cpu", "float32", 4, 6.0), audio=3.0, total=10.0)
    assert whole.parts == {"audio": 3.0, "engine": 6.0, "other": 1.0}


def test_waiting_counts_a_failure_too() -> None:
    stopwatch = Stopwatch()
    with pytest.raises(ValueError, match="late"), stopwatch.part("audio"):
        fail_late()
    assert 0.05 <= stopwatch.parts["audio"] < 1.0


def fail_late() -> None:
    time.sleep(0.05)
    raise ValueError("late")
