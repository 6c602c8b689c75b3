"""The events of a run, as the pool and the runner tell them, for its log and its metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from speechkit.io import manifest
from speechkit.records import Utterance
from speechkit.runtime.messages import BatchDone, Begun, Divided, Failed, Message, Outcome, Ready
from speechkit.runtime.metrics import Metrics
from speechkit.runtime.worker_process import WorkerProcess

log = logging.getLogger("speechkit.runtime.pool")  # whose events they are


class Watch:
    """Logs what happens, and passes it on to the ``metrics`` if they are asked for."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._started: dict[int, float] = {}

    @property
    def traces(self) -> bool:
        """Whether workers tell what the time of each utterance goes to."""
        return self._metrics is not None

    def started(self, worker: WorkerProcess) -> None:
        self._started[worker.number] = time.monotonic()
        _note("worker %d has started", "worker_started", worker, worker_pid=worker.process.pid)
        if self._metrics:
            self._metrics.started(worker.number, worker.process.pid)

    def given(self, worker: WorkerProcess, batch: Sequence[Utterance]) -> None:
        if self._metrics:
            self._metrics.given(worker.number, batch)

    def heard(self, worker: WorkerProcess, message: Message) -> None:
        """A message has come; its utterance, if it is of one, is in the worker's oldest batch."""
        match message:
            case Outcome() | Divided():
                self._answered(worker, message)
            case Begun():
                if self._metrics:
                    self._metrics.begun(worker.number, message.keys)
            case BatchDone():
                if self._metrics:
                    self._metrics.batch_done(worker.number, message.device_memory)
            case Ready():
                seconds = round(time.monotonic() - self._started[worker.number], 3)
                _note("worker %d is ready", "worker_ready", worker, seconds=seconds)
            case Failed():
                log.debug(message.traceback, extra={"event": "traceback"})

    def _answered(self, worker: WorkerProcess, message: Outcome | Divided) -> None:
        utterance = worker.batches[0][message.key]
        if self._metrics:
            self._metrics.answered(utterance, message)
        error = message.error if isinstance(message, Outcome) else None
        if log.isEnabledFor(logging.INFO if error else logging.DEBUG):
            _log_utterance(worker, utterance, error)

    def died(
        self,
        worker: WorkerProcess,
        status: int,
        suspects: Sequence[Utterance],
        *,
        timed_out: bool,
    ) -> None:
        """A worker has ended before its time. ``suspects``: the utterances that it had begun."""
        event = "time_limit" if timed_out else "worker_died"
        _note("worker %d has died", event, worker, status=status, begun=len(suspects))
        if self._metrics:
            error = "TimeLimit" if timed_out else "WorkerDied"
            again = len(suspects) > 1  # each alone, as the pool does it
            self._metrics.lost(worker.number, suspects, None if again else error)

    def hangs(self, worker: WorkerProcess, stacks: str) -> None:
        log.error(
            "a worker process hangs; its threads are at:\n%s",
            stacks,
            extra={"event": "worker_hangs", "worker": worker.number},
        )

    def ended(self, worker: WorkerProcess) -> None:
        if self._metrics:
            self._metrics.ended(worker.number)

    def written(self) -> None:
        """All lines that were answered are in the output, or on their way to stdout."""
        if self._metrics:
            self._metrics.written()


def _note(message: str, event: str, worker: WorkerProcess, **numbers: Any) -> None:
    log.info(message, worker.number, extra={"event": event, "worker": worker.number, **numbers})


def _log_utterance(worker: WorkerProcess, utterance: Utterance, error: str | None) -> None:
    name = manifest.name(utterance.record)
    extra: dict[str, Any] = {
        "event": "utterance_failed" if error else "utterance_done",
        "worker": worker.number,
        "utterance": {"index": utterance.index, "name": name},
    }
    if utterance.part:
        extra["part"] = utterance.part.number
    if error:
        log.info("%s: %s", name, error, extra={**extra, "error": error})
    else:
        log.debug("%s: done", name, extra=extra)
