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

from speechkit.engines.protocols import DeviceUse
from speechkit.errors import SpeechkitError, UtteranceError
from speechkit.records import Division, Utterance
from speechkit.runtime import worker_errors
from speechkit.runtime.batching import Batch, seconds
from speechkit.runtime.divisions import Divisions
from speechkit.runtime.messages import (
    BatchDone,
    Begun,
    Divided,
    Failed,
    Message,
    Outcome,
    Ready,
    Setup,
    error_outcome,
)
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import BATCHES_HELD, Stage
from speechkit.runtime.watch import Watch
from speechkit.runtime.worker_process import WorkerProcess

Answer = Outcome | Divided

DRAIN_SECONDS = 6.0  # time limit of a drain, for the utterances that have begun
STOP_SECONDS = 3.0  # time limit for the end of a worker without work
POLL_SECONDS = 0.2  # interval between checks of deadlines and of the drain
AWAKE_SECONDS = 1.0  # longest interval that counts: in a longer one this process was suspended
DEATHS_IN_A_ROW = 10  # deaths without a result between them, for which no utterance is at fault


class Pool:
    """Runs a stage's processor over batches in worker processes, and tells the ``watch`` of it.

    ``divisions``: of the utterances that are computed in parts. ``stall_ends``: whether a stall in
    a batch with this utterance ends the run; None if no stall does. ``folder``: for temporary files
    of the workers.
    """

    def __init__(
        self,
        stage: Stage,
        options: PoolOptions,
        divisions: Divisions,
        watch: Watch,
        stall_ends: Callable[[int], bool] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._stage = stage
        self._watch = watch
        self._options = options
        self._divisions = divisions
        self._stall_ends = stall_ends
        self._folder = folder
        self._stalled: list[Utterance] = []
        self._workers: list[WorkerProcess] = []
        self._started = 0
        self.uses: list[DeviceUse] = []  # of the workers that have ended
        self._again: deque[Batch] = deque()
        self._parts: deque[Batch] = deque()
        self._deaths = 0
        self._fatal: SpeechkitError | None = None  # raised once earlier outcomes are out
        self._all_given = False
        self._proven = False  # an engine has been built
        self._clock = 0.0  # seconds in which this process was awake
        self._checked = time.monotonic()

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
        try:
            self._feed(batches)
            while any(worker.batches for worker in self._workers):
                yield self._collect()
                if self._stalled:
                    raise worker_errors.stalled(self._stalled, self._options.time_limit)
                if self._fatal:
                    raise self._fatal
                if draining():
                    drain_ends = min(drain_ends, time.monotonic() + DRAIN_SECONDS)
                    if time.monotonic() > drain_ends or not any(w.begun for w in self._workers):
                        return
                    self._drop_unbegun()
                else:
                    self._feed(batches)
        finally:
            self._stop()

    def _feed(self, batches: Iterator[Batch]) -> None:
        """Give batches to all workers, the emptiest first. Start a worker if all are busy.

        Batches to try again come first, and their worker gets nothing else meanwhile. Parts of
        divided utterances come next.
        """
        while True:
            again = bool(self._again)
            worker = min(
                self._workers, key=lambda w: len(w.batches) + BATCHES_HELD * w.alone, default=None
            )
            if worker is None or (worker.batches and len(self._workers) < self._options.workers):
                worker = None
            elif worker.alone or len(worker.batches) >= (1 if again else BATCHES_HELD):
                return
            batch = self._next(batches)
            if batch is None:
                self._start_for_parts()
                return
            worker = worker or self._start()
            worker.give(batch, alone=again)
            self._watch.given(worker, batch)

    def _start_for_parts(self) -> None:
        """Start the workers that will share parts, once, when all batches are given out."""
        if self._all_given:
            return
        self._all_given = True
        held = (u for worker in self._workers for batch in worker.batches for u in batch.values())
        parts = sum(self._stage.processor.expected_parts(seconds(u)) for u in held)
        while len(self._workers) < min(parts, self._options.workers):
            self._start()

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        """The next batch, without parts of utterances that have failed meanwhile."""
        while True:
            waiting = self._again or self._parts
            batch = waiting.popleft() if waiting else next(batches, None)
            if batch is None:
                return None
            if wanted := tuple(filter(self._divisions.wants, batch)):
                return wanted

    def _collect(self) -> list[Answer]:
        answers: list[Answer] = []
        by_connection = {worker.connection: worker for worker in self._workers}
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
        for worker in list(self._workers):
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
                self._fatal = message.error
        return []

    def _divide(self, utterance: Utterance, division: Division) -> None:
        parts = self._divisions.begin(utterance, division)
        self._parts += self._stage.batches_of_parts(parts, self._options.workers)

    def _answers_for(self, outcome: Outcome) -> list[Answer]:
        """The outcome and, if it was the last that its divided utterance needed, that one's."""
        whole = self._divisions.take(outcome)
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
        status = self._end(worker)
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
        keys = self._stage.error_keys
        return [
            answer
            for utterance in suspects
            for answer in self._answers_for(error_outcome(utterance, reason, keys))
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
        for worker in [worker for worker in self._workers if not worker.begun]:
            self._end(worker)

    def _start(self) -> WorkerProcess:
        taken = {worker.gpu for worker in self._workers}
        gpu = next((name for name in self._options.gpus if name not in taken), None)
        self._started += 1
        worker = WorkerProcess.start(
            self._started, threads=self._options.threads, gpu=gpu, folder=self._folder
        )
        self._workers.append(worker)
        stage, loaders = self._stage, self._options.loaders
        worker.outbox.put(
            Setup(stage.processor, stage.error_keys, loaders, traced=self._watch.traces)
        )
        self._watch.started(worker)
        return worker

    def _stop(self) -> None:
        for worker in self._workers:
            if worker.batches or not worker.ready:
                worker.process.kill()
            worker.outbox.put(None)
        ends = time.monotonic() + STOP_SECONDS
        for worker in list(self._workers):
            self._end(worker, patience=ends - time.monotonic())

    def _end(self, worker: WorkerProcess, *, patience: float = 0.0) -> int:
        self._workers.remove(worker)
        self._watch.ended(worker)
        if worker.use:
            self.uses.append(worker.use)
        return worker.end(patience=patience)
