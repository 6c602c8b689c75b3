"""Which examples a step has: all once an epoch, alike in length, the same when asked again."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechkit.training.batch_plan import BatchPlan, Draw
from speechkit.training.example_tasks import share

lengths = st.lists(st.integers(3, 448), min_size=1, max_size=300)


@given(lengths, st.integers(1, 40), st.integers(0, 2**40), st.integers(0, 3))
def test_an_epoch_has_every_example_once(
    lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    plan = BatchPlan(lengths, size, seed)
    first = epoch * plan.steps_per_epoch + 1
    steps = [plan.step(number) for number in range(first, first + plan.steps_per_epoch)]
    assert Counter(chain(*steps)) == Counter(Draw(index, epoch) for index in range(len(lengths)))
    assert [len(step) for step in steps[:-1]] == [size] * (len(steps) - 1)
    for step in steps:
        drawn = [lengths[draw.index] for draw in step]
        assert drawn == sorted(drawn, reverse=True)


@given(lengths, st.integers(1, 40), st.integers(0, 99), st.data())
def test_a_step_depends_on_its_number_alone(
    lengths: list[int], size: int, seed: int, data: st.DataObject
) -> None:
    plan = BatchPlan(lengths, size, seed)
    last = 3 * plan.steps_per_epoch
    in_order = [plan.step(number) for number in range(1, last + 1)]
    number = data.draw(st.integers(1, last))
    assert plan.step(number) == BatchPlan(lengths, size, seed).step(number) == in_order[number - 1]


@given(st.integers(0, 64), st.integers(1, 8))
def test_ranks_share_a_step(count: int, ranks: int) -> None:
    draws = [Draw(index, 0) for index in range(count)]
    shares = [share(draws, rank, ranks) for rank in range(ranks)]
    assert sorted(chain(*shares), key=lambda draw: draw.index) == draws
    sizes = [len(one) for one in shares]
    assert max(sizes) - min(sizes) <= 1
    places = [sum(draw.index for draw in one) for one in shares]
    if count % (2 * ranks) == 0:
        assert len(set(places)) == 1


def test_epochs_and_seeds_differ_and_batches_are_alike() -> None:
    lengths = np.random.default_rng(1).integers(5, 200, 4000)
    plan = BatchPlan(lengths.tolist(), 16, 0)
    epoch = range(1, plan.steps_per_epoch + 1)
    steps = [plan.step(number) for number in epoch]
    padded = sum(len(step) * max(lengths[draw.index] for draw in step) for step in steps)
    assert lengths.sum() / padded > 0.95
    indices = [[draw.index for draw in step] for step in steps]
    later = [[draw.index for draw in plan.step(number + len(epoch))] for number in epoch]
    other = BatchPlan(lengths.tolist(), 16, 1)
    assert not {frozenset(one) for one in indices} & {frozenset(one) for one in later}
    assert [draw.index for draw in other.step(1)] != indices[0]
    means = [lengths[one].mean() for one in indices]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2
