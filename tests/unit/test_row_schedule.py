"""Windows in the rows of Whisper's decoding loop: each once, in order, until none is waiting."""

from __future__ import annotations

from random import Random

import pytest

from speechkit.engines.asr.whisper.row_schedule import RowSchedule


def power(windows: int) -> int:
    return 1 << (windows - 1).bit_length()


@pytest.mark.parametrize("shape", [power, lambda windows: windows])
def test_each_window_has_a_row_of_its_own(shape: object, seed: int) -> None:
    """Whenever the others end. The rows are as many as there are windows for, or fewer."""
    random = Random(seed)
    for _ in range(200):
        windows, rows = random.randint(1, 60), random.randint(1, 40)
        schedule = RowSchedule(range(windows), rows, shape)  # type: ignore[arg-type]
        begun: list[int] = []
        held: dict[int, int] = {}
        while True:
            entering = schedule.enter()
            assert not held.keys() & entering.keys()
            held |= entering
            begun += entering.values()
            if not held:
                break
            assert schedule.busy == sorted(held)
            assert schedule.busy[-1] < schedule.rows <= rows
            assert schedule.steps >= 0
            schedule.advance()
            for row in [row for row in held if random.random() < 0.3]:
                assert schedule.leave(row) == held.pop(row)
            for source, target in schedule.close_up():
                assert target not in held
                held[target] = held.pop(source)
            if len(begun) == windows and held:
                assert schedule.rows <= shape(len(held))  # type: ignore[operator]
        assert begun == list(range(windows))


def test_steps_are_those_of_the_window_that_began_first() -> None:
    schedule = RowSchedule(range(3), 2, power)
    schedule.enter()
    for _ in range(5):
        schedule.advance()
    schedule.leave(0)
    assert schedule.enter() == {0: 2}
    schedule.advance()
    assert schedule.steps == 6
    schedule.leave(1)
    assert schedule.steps == 1


def test_few_free_rows_wait_for_others() -> None:
    schedule = RowSchedule(range(100), 32, power)
    assert len(schedule.enter()) == 32
    for row in range(4):
        assert schedule.enter() == {}
        schedule.leave(row)
    assert list(schedule.enter()) == [0, 1, 2, 3]
