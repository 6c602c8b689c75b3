"""The workers of one model, whose batches are of many runs in turn."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

from speechkit.errors import Drained, SpeechkitError
from speechkit.records import Division, Utterance
from speechkit.runtime.batching import Batch, seconds
from speechkit.runtime.divisions import Divisions
from speechkit.runtime.messages import Outcome
from speechkit.runtime.pool import Pool
from speechkit.runtime.pool_interface import Answer
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import Stage
from speechkit.runtime.stopping import GO_ON
from speechkit.runtime.watch import Watch
from speechkit.serving.web.workers.shared_run import SharedRun

INDICES = 1 << 32  # of a run: here utterance i of run n has the index n * INDICES + i
STAGES = 16  # with other options each, that are known again


class Lane:
    """A pool whose processes stay until there has been nothing to do for ``idle`` seconds.

    Runs take turns, batch by batch; utterances of several runs with equal options share a batch.
    Any thread may join a run. All else is done by a thread of the lane's own, for which it is the
    `Tasks` of its pool and the iterator of its batches.
    """

    def __init__(self, options: PoolOptions, idle: float) -> None:
        self._options = options
        self._idle = idle
        self._numbers, self._turns = count(), count(1)
        self._runs: dict[int, SharedRun] = {}
        self._stages: list[Stage] = []
        self._changed = threading.Condition()
        self._closed = False
        self._pool: Pool | None = None
        self._used = time.monotonic()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        """Of its processes; empty while nothing is loaded."""
        pool = self._pool
        return pool.pids if pool else []

    @property
    def idle_seconds(self) -> float:
        """Since it last worked; 0 while it does."""
        with self._changed:
            works = any(not run.has_left for run in self._runs.values())
        return 0.0 if works else time.monotonic() - self._used

    @contextmanager
    def joined(self, divisions: Divisions) -> Iterator[SharedRun]:
        """The computing of a run. It may end early, and what it has begun is then dropped."""
        with self._changed:
            run = SharedRun(divisions, self._known(divisions.stage), self._wake)
            number = next(self._numbers)
            self._runs[number] = run
        try:
            yield run
        finally:
            with self._changed:
                run.has_left = True
                self._changed.notify_all()

    def close(self) -> None:
        """End the processes, within seconds. Runs that haven't ended raise `Drained`."""
        self._closed = True
        self._wake()
        self._thread.join()
        self._end_all(Drained(f"the workers have ended; {GO_ON}"))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _known(self, stage: Stage) -> Stage:
        """The same object for equal options, so that workers aren't set up anew."""
        known = next((one for one in self._stages if one.options == stage.options), stage)
        others = [one for one in self._stages if one is not known]
        self._stages = [known, *others][:STAGES]
        return known

    # ------------------------------------------------------------ its thread

    def _work(self) -> None:
        while self._has_work():
            try:
                with Pool(self, self._options, Watch()) as self._pool:
                    while self._has_work(self._idle):
                        self._answer_all(self._pool)
            except Exception as e:  # whatever it is, the runs must hear of it
                self._end_all(e)
            finally:
                self._pool = None

    def _answer_all(self, pool: Pool) -> None:
        """Until no batch waits; at the end of the lane at once, as nobody takes answers then."""
        for answers in pool.answers(self, lambda: False):
            self._deliver(answers)
            if self._closed:
                return

    def _has_work(self, patience: float | None = None) -> bool:
        """Wait until batches wait; False if that takes longer than ``patience``, or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting(), patience)
            self._forget()
            return not self._closed and bool(self._waiting())

    def _waiting(self) -> list[int]:
        """The numbers of the runs that have batches to compute."""
        return [n for n, run in self._runs.items() if run.waiting and not run.has_left]

    def _forget(self) -> None:
        """Forget the runs that have left: here alone, so that none goes while the pool asks."""
        for number in [number for number, run in self._runs.items() if run.has_left]:
            del self._runs[number]

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch, by turns. StopIteration if none waits now; later ones may."""
        with self._changed:
            self._forget()
            waiting = self._waiting()
            if not waiting:
                raise StopIteration
            first, *others = sorted(waiting, key=lambda number: self._runs[number].turn)
            turn, stage = next(self._turns), self._runs[first].stage
            batch = self._taken(first, turn)
            share = math.ceil(len(waiting) / self._options.workers)  # of each worker
            for number in others[: share - 1]:
                run = self._runs[number]
                if run.stage is stage and _fit(stage, (*batch, *run.waiting[0])):
                    batch += self._taken(number, turn)
            return batch

    def _taken(self, number: int, turn: int) -> Batch:
        run = self._runs[number]
        run.turn = turn
        return tuple(
            replace(task, index=number * INDICES + task.index) for task in run.next_batch()
        )

    def _deliver(self, answers: list[Answer]) -> None:
        self._used = time.monotonic()
        of_runs: dict[int, list[Answer]] = {}
        for answer in answers:
            number, index = divmod(answer.index, INDICES)
            of_runs.setdefault(number, []).append(replace(answer, index=index))
        for number, ours in of_runs.items():
            if number in self._runs:
                self._runs[number].answer(ours)

    def _end_all(self, error: Exception) -> None:
        with self._changed:
            self._end(self._runs.values(), error)

    def _end(self, runs: Iterable[SharedRun], error: Exception) -> None:
        for run in runs:
            run.waiting.clear()
            run.fail(error)
            run.has_left = True

    # ------------------------------------------------------------ Tasks

    def stage_of(self, index: int) -> Stage:
        return self._runs[index // INDICES].stage

    def begin(self, utterance: Utterance, division: Division) -> list[Utterance]:
        """The parts take turns with the batches of other runs: none are computed at once."""
        number, index = divmod(utterance.index, INDICES)
        if number in self._runs:
            run, workers = self._runs[number], self._options.workers
            run.begin(replace(utterance, index=index), division, workers)
        return []

    def wants(self, task: Utterance) -> bool:
        number, index = divmod(task.index, INDICES)
        return number in self._runs and self._runs[number].wants(replace(task, index=index))

    def take(self, outcome: Outcome) -> Outcome | None:
        number, index = divmod(outcome.index, INDICES)
        if number not in self._runs:
            return None
        whole = self._runs[number].take(replace(outcome, index=index))
        return whole and replace(whole, index=outcome.index)

    def fail(self, batch: Batch, error: SpeechkitError) -> None:
        """The runs with the options of the batch end, and no others."""
        stages = {id(self._runs[n].stage) for n in map(_run_of, batch) if n in self._runs}
        with self._changed:
            self._end((run for run in self._runs.values() if id(run.stage) in stages), error)


def _run_of(task: Utterance) -> int:
    return task.index // INDICES


def _fit(stage: Stage, batch: Batch) -> bool:
    """Whether the tasks are no more than a batch of the stage may have."""
    is_small = len(batch) <= stage.batch_sizes.most
    return is_small and sum(map(seconds, batch)) <= stage.batch_audio
