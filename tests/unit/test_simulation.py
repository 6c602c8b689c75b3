"""The simulation of a cluster, on cases whose outcome can be reckoned by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from simulate_cluster import Plan, simulate

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
#: 10 splits of an hour of work each on 5 GPUs.
CALM = Plan(
    *(1000.0, 5, 10), speed=100.0, spread=0.0, start=36.0, limit=0.0, failures=0.0, preemptions=0.0
)


def test_without_trouble_it_takes_the_starts_and_the_work() -> None:
    outcome = simulate(CALM, 1)
    assert outcome.hours == pytest.approx(2 * 1.01)
    assert outcome.busy == pytest.approx(10 * 1.01)
    assert (outcome.starts, outcome.rounds) == (10, 1)


def test_a_limit_costs_a_start_and_a_wait() -> None:
    """Of 0.4 h of work, its start and the warning: each split takes three tasks."""
    limited = replace(CALM, gpus=10, limit=0.435, requeue=72.0)
    outcome = simulate(limited, 1)
    assert outcome.starts == 30
    assert outcome.hours == pytest.approx(1 + 3 * 0.01 + 2 * 0.02)


def test_what_never_gets_anywhere_is_told() -> None:
    with pytest.raises(ValueError, match="too short"):
        simulate(replace(CALM, limit=0.5, resume=False), 1)


def test_killed_tasks_come_again_and_cost_less_with_resume() -> None:
    rough = replace(CALM, failures=0.3, preemptions=0.3)
    outcomes = [simulate(rough, seed) for seed in range(20)]
    anew = [simulate(replace(rough, resume=False), seed) for seed in range(20)]
    assert max(outcome.rounds for outcome in outcomes) > 1
    assert all(outcome.busy >= 10 for outcome in outcomes)
    assert sum(one.busy for one in anew) > 1.2 * sum(one.busy for one in outcomes)
    assert simulate(rough, 3) == simulate(rough, 3)


def test_its_table() -> None:
    command = [sys.executable, SCRIPTS / "simulate_cluster.py", "--splits", "100", "2000"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert out.startswith("100000 h of audio on 100 GPUs, ideally 10.00 h\n")
    rows = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")]
    assert rows == ["splits", "---", "100", "2000"]
