#!/usr/bin/env python
"""How long a data set takes on a cluster whose tasks fail and are preempted, by number of splits.

    scripts/simulate_cluster.py [--hours 100000] [--gpus 100] [--splits 100 500 1000] [...]

Plays `speechkit slurm submit` through: splits of equal length, one task a GPU; a preempted task, or
one that reaches its time limit, is queued again and goes on where it stopped; one that is killed
outright waits until all the others have ended, when the merge submits it again. --no-resume shows
what these events cost where a task begins anew. Times are random, the seed isn't.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

HOUR = 3600.0
WARNING = 90.0  # seconds ahead of its limit at which a task is told: --signal=B:USR1@90
MERGE = 120.0  # seconds from the last task's end to the next round's first: a merge and the queue
MOST_ROUNDS = 100


@dataclass(frozen=True)
class Plan:
    """Rates are per GPU and hour. ``speed``: seconds of audio a second on one GPU, ``spread`` the
    standard deviation of its logarithm from GPU to GPU. ``start``: seconds until a task computes,
    ``lost``: seconds of work that a killed one had not written. ``limit``: hours, 0 for none."""

    hours: float = 100_000.0
    gpus: int = 100
    splits: int = 1000
    speed: float = 100.0
    spread: float = 0.1
    start: float = 60.0
    limit: float = 4.0
    failures: float = 0.01
    preemptions: float = 0.05
    requeue: float = 180.0
    lost: float = 10.0
    resume: bool = True

    @property
    def ideal(self) -> float:
        """Hours, were all GPUs at work all the time and nothing else to do."""
        return self.hours / self.speed / self.gpus


@dataclass(frozen=True)
class Outcome:
    """``hours`` from the first task's start to the last one's end, ``busy`` GPU hours, ``starts``
    of tasks; ``rounds``: 1 where the merge had nothing to submit again."""

    hours: float
    busy: float
    starts: int
    rounds: int


def simulate(plan: Plan, seed: int) -> Outcome:
    """Raises `ValueError` where it would never end."""
    rng = random.Random(seed)
    speeds = [plan.speed * math.exp(rng.gauss(0.0, plan.spread)) for _ in range(plan.gpus)]
    audio = plan.hours * HOUR / plan.splits
    killed = [audio] * plan.splits
    now = busy = 0.0
    starts = rounds = 0
    while killed:
        rounds += 1
        if rounds > MOST_ROUNDS:
            raise ValueError(
                f"{len(killed)} splits are still incomplete after {MOST_ROUNDS} rounds"
            )
        order = count()
        waiting = [(now, next(order), left) for left in killed]
        free = [(now, gpu) for gpu in range(plan.gpus)]
        killed = []
        while waiting:
            ready, _, left = heapq.heappop(waiting)
            idle, gpu = heapq.heappop(free)
            begun = max(ready, idle)
            starts += 1
            if starts > 1000 * plan.splits:
                raise ValueError("a task's time limit is too short for it to get anywhere")
            took, done, how = _attempt(plan, left / speeds[gpu], rng)
            busy += took
            heapq.heappush(free, (begun + took, gpu))
            now = max(now, begun + took)
            left -= done * speeds[gpu]
            if how == "stopped":
                heapq.heappush(waiting, (begun + took + plan.requeue, next(order), left))
            elif how == "killed":
                killed.append(left)
        now += MERGE if killed else 0.0
    return Outcome(now / HOUR, busy / HOUR, starts, rounds)


def _attempt(plan: Plan, work: float, rng: random.Random) -> tuple[float, float, str]:
    """Seconds it took, seconds of work that it saved, and how it ended."""
    ends = {
        "done": plan.start + work,
        "killed": _next(plan.failures, rng),
        "stopped": _next(plan.preemptions, rng),
    }
    if plan.limit:
        ends["stopped"] = min(ends["stopped"], plan.limit * HOUR - WARNING)
    how = min(ends, key=ends.__getitem__)
    took = ends[how]
    if how == "done":
        return took, work, how
    saved = max(0.0, took - plan.start - (plan.lost if how == "killed" else 0.0))
    return took, saved if plan.resume else 0.0, how


def _next(rate: float, rng: random.Random) -> float:
    """Seconds until an event that comes so often an hour."""
    return rng.expovariate(rate / HOUR) if rate else math.inf


def rows(plan: Plan, splits: list[int], runs: int) -> Iterator[list[str]]:
    for number in splits:
        one = replace(plan, splits=number)
        try:
            found = [simulate(one, seed) for seed in range(runs)]
        except ValueError as e:
            yield [str(number), f"{plan.hours / number:.1f} h", f"never: {e}", "", "", "", ""]
            continue
        hours = sorted(outcome.hours for outcome in found)
        median = statistics.median(hours)
        busy = statistics.mean(outcome.busy for outcome in found)
        yield [
            str(number),
            f"{plan.hours / number:.1f} h",
            f"{median:.2f} h",
            f"{hours[math.ceil(0.9 * len(hours)) - 1]:.2f} h",
            f"{median / plan.ideal:.2f}",
            f"{busy / (plan.ideal * plan.gpus) - 1:.1%}",
            f"{statistics.mean(outcome.starts for outcome in found):.0f}",
        ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Plan()
    for name, what in {
        "hours": "hours of audio",
        "speed": "times real time that one GPU computes",
        "spread": "of the GPUs' speeds (standard deviation of the logarithm)",
        "start": "seconds from a task's start to its first result",
        "limit": "hours that a task may take; 0: no limit",
        "failures": "tasks killed outright, per GPU and hour",
        "preemptions": "per GPU and hour",
        "requeue": "seconds that a stopped task waits before it goes on",
        "lost": "seconds of work lost by a killed task",
    }.items():
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=float, default=value, help=f"{what} ({value:g})")
    parser.add_argument("--gpus", type=int, default=default.gpus)
    parser.add_argument(
        "--splits", type=int, nargs="+", default=[100, 200, 500, 1000, 2000, 5000, 20000]
    )
    parser.add_argument("--no-resume", dest="resume", action="store_false")
    parser.add_argument("--runs", type=int, default=20, help="of each, with its own seed (20)")
    given = vars(parser.parse_args())
    splits, runs = given.pop("splits"), given.pop("runs")
    plan = Plan(**given)
    print(f"{plan.hours:g} h of audio on {plan.gpus} GPUs, ideally {plan.ideal:.2f} h\n")
    print("| splits | audio each | median | 90 % below | of the ideal | GPU time more | starts |")
    print("|---|---|---|---|---|---|---|")
    for row in rows(plan, splits, runs):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
