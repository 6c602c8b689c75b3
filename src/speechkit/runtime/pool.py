"""The worker processes of a run: fed ahead, watched, replaced when they die.

A worker that is killed, crashes or exceeds its time limit costs only the utterances it had begun.
If these are several, each is tried again alone, so that only the guilty one is lost. For an engine
that may hang on any input, the first stall ends the run instead.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType

from speechkit.engines.protocols import DeviceUse
from speechkit.errors import SpeechkitError, UtteranceError
from speechkit.records import Division, Utterance
from speechkit.runtime import worker_errors
from speechkit.runtime.batching import Batch, seconds
from speechkit.runtime.crew import Crew
from speechkit.runtime.messages import (
    BatchDone,
    Begun,
    Divided,
    Failed,
    Message,
    Outcome,
    Ready,
    error_outcome,
)
from speechkit.runtime.pool_interface import Answer, StallEnds, Tasks
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.watch import Watch
from speechkit.runtime.worker_process import WorkerProcess

DRAIN_SECONDS = 6.0  # time limit of a drain, for the utterances that have begun
POLL_SECONDS = 0.2  # interval between checks of deadlines and of the drain
AWAKE_SECONDS = 1.0  # longest interval that counts: in a longer one this process was suspended
DEATHS_IN_A_ROW = 10  # deaths without a result between them, for which no utterance is at fault


class Pool:
    """Runs the processors of stages over batches in worker processes, and tells the ``watch``.

    A batch is of one stage. ``stall_ends``: whether a stall in a batch with this utterance ends the
    run; None if no stall does. ``folder``: for temporary files of the workers. A context manager:
    its processes end with it.
    """

    def __init__(
        self,
        tasks: Tasks,
        options: PoolOptions,
        watch: Watch,
        stall_ends: StallEnds = None,
        folder: Path | None = None,
    ) -> None:
        self._tasks = tasks
        self._options = options
        self._watch = watch
        self._stall_ends = stall_ends
        self._crew = Crew(options, watch, folder)
        self._stalled: list[Utterance] = []
        self._again: deque[Batch] = deque()
        self._parts: deque[Batch] = deque()
        self._deaths = 0
        self._fatal: SpeechkitError | None = None  # raised once earlier outcomes are out
        self._all_given = False
        self._proven = False  # an engine has been built
        self._clock = 0.0  # seconds in which this process was awake
        self._checked = time.monotonic()

    @property
    def uses(self) -> Sequence[DeviceUse]:
        """Of the devices, by the workers that have ended."""
        return self._crew.uses

    @property
    def pids(self) -> list[int]:
        """Of the worker processes."""
        return [worker.process.pid for worker in self._crew.workers]

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._crew.stop()

    def answers(
        self, batches: Iterator[Batch], draining: Callable[[], bool]
    ) -> Generator[list[Answer], None, None]:
        """Yield answers as they come, until all batches are answered or the drain is over.

        An utterance has one outcome; one that is divided has its division and outcomes of its parts
        before.

        Raises `EngineMissing` or `EngineFailed` if the engine can't be built, `Stalled` if a stall
        ends the run.
        """
        drain_ends = float("inf")
        workers = self._crew.workers
        self._feed(batches)
        while any(worker.batches for worker in workers):
            yield self._collect()
            if self._stalled:
                raise worker_errors.stalled(self._stalled, self._options.time_limit)
            if self._fatal:
                raise self._fatal
            if draining():
                drain_ends = min(drain_ends, time.monotonic() + DRAIN_SECONDS)
                if time.monotonic() > drain_ends or not any(w.begun for w in workers):
                    return
                self._drop_unbegun()
            else:
                self._feed(batches)

    def _feed(self, batches: Iterator[Batch]) -> None:
        """Give batches to all workers, the emptiest first. Start a worker if all are busy.

        Batches to try again come first, and their worker gets nothing else meanwhile. Parts of
        divided utterances come next.
        """
        held = self._options.held
        while True:
            again = bool(self._again)
            worker = min(
                self._crew.workers, key=lambda w: len(w.batches) + held * w.alone, default=None
            )
            if worker is None or (worker.batches and not self._crew.is_full):
                worker = None
            elif worker.alone or len(worker.batches) >= (1 if again else held):
                return
            batch = self._next(batches)
            if batch is None:
                self._start_for_parts()
                return
            stage = self._tasks.stage_of(batch[0].index)
            worker = worker or self._crew.start(stage)
            self._crew.set_up(worker, stage)
            worker.give(batch, alone=again)
            self._watch.given(worker, batch)

    def _start_for_parts(self) -> None:
        """Start the workers that will share parts, once, when all batches are given out."""
        if self._all_given:
            return
        self._all_given = True
        workers = self._crew.workers
        held = [(w.stage, u) for w in workers for b in w.batches for u in b.values()]
        parts = sum(stage.processor.expected_parts(seconds(u)) for stage, u in held)
        while len(workers) < min(parts, self._options.workers):
            self._crew.start(held[0][0])

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        """The next batch, without parts of utterances that have failed meanwhile."""
        while True:
            waiting = self._again or self._parts
            batch = waiting.popleft() if waiting else next(batches, None)
            if batch is None:
                return None
            if wanted := tuple(filter(self._tasks.wants, batch)):
                return wanted

    def _collect(self) -> list[Answer]:
        answers: list[Answer] = []
        by_connection = {worker.connection: worker for worker in self._crew.workers}
        answering = wait(list(by_connection), POLL_SECONDS)
        now = time.monotonic()
        self._clock += min(now - self._checked, AWAKE_SECONDS)
        self._checked = now
        for connection in answering:
            worker = by_connection[connection]  # type: ignore[index]
            try:
                for message in worker.connection.recv():
                    answers += self._take(worker, message)
            except (EOFError, OSError):
                answers += self._end_and_retry(worker)
        for worker in list(self._crew.workers):
            if self._clock > worker.deadline:
                answers += self._end_and_retry(worker, timed_out=True)
        return answers

    def _take(self, worker: WorkerProcess, message: Message) -> list[Answer]:
        self._watch.heard(worker, message)
        match message:
            case Outcome():
                self._deaths = 0
                worker.batches[0].pop(message.key)
                return self._answers_for(message)
            case Divided():
                self._divide(worker.batches[0].pop(message.key), message.division)
                return [message]
            case Begun():
                worker.begun = message.keys
                worker.deadline = self._deadline(message.seconds)
            case BatchDone():
                worker.batches.popleft()
                worker.begun, worker.deadline, worker.alone = (), float("inf"), False
                worker.use = message.use
            case Ready():
                worker.ready = self._proven = True
            case Failed():
                self._fail(worker, message.error)
        return []

    def _fail(self, worker: WorkerProcess, error: SpeechkitError) -> None:
        """A worker can't be set up for its oldest batch, or can't write. The others go on, unless
        the error ends the run."""
        failed, *others = (tuple(batch.values()) for batch in worker.batches or [{}])
        if fatal := self._tasks.fail(failed, error):
            self._fatal = fatal
        else:
            self._crew.end(worker)
            self._again += filter(None, others)

    def _divide(self, utterance: Utterance, division: Division) -> None:
        if parts := self._tasks.begin(utterance, division):
            stage = self._tasks.stage_of(utterance.index)
            self._parts += stage.batches_of_parts(parts, self._options.workers)

    def _answers_for(self, outcome: Outcome) -> list[Answer]:
        """The outcome and, if it was the last that its divided utterance needed, that one's."""
        whole = self._tasks.take(outcome)
        if outcome.part is None:
            return [outcome]
        done = [] if outcome.error else [outcome]
        return [*done, whole] if whole else [*done]

    def _deadline(self, seconds: float) -> float:
        limit = self._options.time_limit
        return self._clock + limit * max(seconds, 3.0) if limit else float("inf")

    def _end_and_retry(self, worker: WorkerProcess, *, timed_out: bool = False) -> list[Answer]:
        """End a dead or stuck worker. Its utterances are queued again or come out as errors."""
        if timed_out and self._stall_ends:
            self._watch.hangs(worker, worker.all_stacks())
        status = self._crew.end(worker)
        self._deaths += not timed_out
        self._fatal = self._fatal or self._fatal_end(status)
        suspects = self._suspects(worker, timed_out=timed_out)
        self._watch.died(worker, status, suspects, timed_out=timed_out)
        if timed_out and self._ends_run(suspects):
            self._stalled += suspects
            return []
        if len(suspects) > 1:
            self._again.extend((utterance,) for utterance in suspects)
            return []
        reason: UtteranceError = worker_errors.worker_died(status)
        if timed_out:
            reason = worker_errors.time_limit_exceeded(self._options.time_limit)
        return [
            answer
            for utterance in suspects
            for answer in self._answers_for(
                error_outcome(utterance, reason, worker.stage.error_keys)
            )
        ]

    def _fatal_end(self, status: int) -> SpeechkitError | None:
        """The error that ends the run after the end of a worker, if no utterance is at fault."""
        if not self._proven:
            return worker_errors.no_engine(status)
        if self._deaths >= DEATHS_IN_A_ROW:
            return worker_errors.too_many_deaths(self._deaths, status)
        return None

    def _suspects(self, worker: WorkerProcess, *, timed_out: bool) -> list[Utterance]:
        """Return the utterances that may have ended the worker, and queue its others again."""
        suspects: list[Utterance] = []
        for batch in worker.batches:
            # If it loads ahead, any of its utterances may have killed it.
            guilty = tuple(batch) if self._options.loaders and not timed_out else worker.begun
            suspects += [batch.pop(key) for key in guilty if key in batch]
            if batch:
                self._again.append(tuple(batch.values()))
        return suspects

    def _ends_run(self, suspects: Sequence[Utterance]) -> bool:
        """Whether an utterance stalled for the first time, so that the machine may be at fault."""
        ends = self._stall_ends
        return ends is not None and any(ends(utterance.index) for utterance in suspects)

    def _drop_unbegun(self) -> None:
        """Take back all batches that no worker has begun, for the next run."""
        self._again.clear()
        self._parts.clear()
        for worker in [worker for worker in self._crew.workers if not worker.begun]:
            self._crew.end(worker)
