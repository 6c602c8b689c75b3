"""The errors that end a worker process or a run, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from speechkit.errors import EngineFailed, Stalled, TimeLimit, WorkerDied
from speechkit.records import Utterance


def worker_died(status: int) -> WorkerDied:
    """For the utterance during which a worker ended with ``status``, as `subprocess` gives it."""
    return WorkerDied(f"the worker process {_cause(status)} while working on it")


def time_limit_exceeded(limit: float) -> TimeLimit:
    return TimeLimit(f"took longer than {limit:g} times its length (--time-limit)")


def no_engine(status: int) -> EngineFailed:
    return EngineFailed(f"the worker process {_cause(status)} while the engine was starting")


def too_many_deaths(deaths: int, status: int) -> EngineFailed:
    return EngineFailed(
        f"{deaths} worker processes ended one after another, the last one "
        f"{_cause(status)}; nothing done so far is lost; run again to resume"
    )


def stalled(utterances: Sequence[Utterance], limit: float) -> Stalled:
    indices = sorted({utterance.index for utterance in utterances})
    count = len(indices)
    return Stalled(
        f"stalled: {count} utterance{'s' * (count > 1)} took longer than --time-limit "
        f"{limit:g} allows; nothing done so far is lost: run the same "
        "command again to resume, with these one by one",
        indices,
    )


def _cause(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by signal {-status} ({signal.strsignal(-status)})"
