"""A worker process: builds its engine once, then answers batches until its pipe closes.

`pool.Pool` starts it as a separate program. It ignores the signals that end a run, which the runner
handles. If the runner dies, the pipe closes and the worker ends, even during a computation.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeVar

from speechkit.engines.stopwatch import Stopwatch
from speechkit.errors import (
    EngineFailed,
    OutputFailed,
    SpeechkitError,
    UtteranceError,
)
from speechkit.io import manifest
from speechkit.io.checksums import file_stamp
from speechkit.io.result_lines import error_type
from speechkit.records import Record, Utterance
from speechkit.runtime import logs
from speechkit.runtime.device_memory import device_memory
from speechkit.runtime.messages import (
    DRAIN_SIGNALS,
    STACKS_SIGNAL,
    BatchDone,
    Begun,
    Divided,
    Failed,
    Message,
    Outcome,
    Ready,
    Setup,
    error_outcome,
    success_outcome,
)
from speechkit.runtime.stage import Loaded, Payload, Processor
from speechkit.runtime.trace import Trace
from speechkit.runtime.waiting import with_waiting

PR_SET_PDEATHSIG = 1  # prctl(2)
UNKNOWN_SECONDS = 60.0  # assumed for an utterance until it is decoded, for its time limit
AUDIO = "audio"  # the time in which a worker waits for audio
Result = TypeVar("Result")
Load = Callable[[], Loaded]
LoadingBatch = list[tuple[Utterance, Load]]
Work = Setup | LoadingBatch | None

OUTCOME_SECONDS = 0.05  # longest delay of an outcome, which is sent with the next message


def main() -> None:
    for name in DRAIN_SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DRAIN_SIGNALS)  # the runner has blocked them
    os.dup2(2, 1)  # output of libraries must not mix with the data on stdout
    faulthandler.enable()
    faulthandler.register(STACKS_SIGNAL, file=int(sys.argv[2]))
    if sys.platform == "linux" and sys.argv[3] == "process":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(int(sys.argv[4]))
    connection = Connection(int(sys.argv[1]))
    try:
        logs.configure(connection.recv())
        setup: Setup = connection.recv()
    except (EOFError, OSError):  # the runner has died
        return
    trace = Trace(on=setup.traced)
    stopwatch = Stopwatch()
    work: queue.SimpleQueue[Work] = queue.SimpleQueue()
    arguments = (connection, setup, work, trace, stopwatch)
    threading.Thread(target=_receive, args=arguments, daemon=True).start()
    _compute(work, _Runner(connection, trace), stopwatch)


def _compute(work: queue.SimpleQueue[Work], runner: _Runner, stopwatch: Stopwatch) -> None:
    """Work until there is no more, or until an error that other batches would meet, too."""
    began = None
    while (item := _waited(work.get, stopwatch)) is not None:
        try:
            if isinstance(item, Setup):
                setup = item
                _open(setup.processor)
                began = began or time.monotonic()
                runner.send(Ready())
                continue
            _answer(item, setup.processor, setup.error_keys, runner)
        except SpeechkitError as e:
            runner.send(Failed(e, traceback.format_exc()))
            return
        assert began
        use, seconds = setup.processor.device_use(), time.monotonic() - began
        waited = use and with_waiting(use, stopwatch.parts[AUDIO], seconds)
        runner.send(BatchDone(waited, device_memory() if setup.traced else None))


def _open(processor: Processor) -> None:
    try:
        processor.open()
    except SpeechkitError:
        raise
    except Exception as e:
        raise EngineFailed(f"can't start: {e!r}") from e


def _load(processor: Processor, trace: Trace, utterance: Utterance) -> Loaded:
    with trace.loading(utterance.key), _about(utterance):
        return processor.load(utterance)


def _about(utterance: Utterance) -> AbstractContextManager[None]:
    return logs.about(utterance.index, manifest.name(utterance.record))


def _loader(
    load: Callable[[Utterance], Loaded], pool: ThreadPoolExecutor | None, stopwatch: Stopwatch
) -> Callable[[Utterance], Load]:
    """Return a function that starts loading an utterance in the pool and returns its `Load`, whose
    time counts as waiting for audio.

    Without a pool, the `Load` itself does the work.
    """
    if not pool:
        return lambda utterance: partial(_waited, partial(load, utterance), stopwatch)
    return lambda utterance: partial(_waited, pool.submit(load, utterance).result, stopwatch)


def _waited(call: Callable[[], Result], stopwatch: Stopwatch) -> Result:
    with stopwatch.part(AUDIO):
        return call()


def _receive(
    connection: Connection,
    setup: Setup,
    work: queue.SimpleQueue[Work],
    trace: Trace,
    stopwatch: Stopwatch,
) -> None:
    """Take work off the pipe at once, so that neither side waits for the other to read.

    A batch is loaded by the stage of the setup before it.
    """
    pool = ThreadPoolExecutor(setup.loaders) if setup.loaders else None
    message: Setup | Sequence[Utterance] | None = setup
    try:
        while message is not None:
            if isinstance(message, Setup):
                load = _loader(partial(_load, message.processor, trace), pool, stopwatch)
                work.put(message)
            else:
                trace.begin(utterance.key for utterance in message)
                work.put([(utterance, load(utterance)) for utterance in message])
            message = connection.recv()
    except (EOFError, OSError):
        os._exit(0)
    work.put(None)


class _Runner:
    """The other end of the pipe. Outcomes are delayed a little, to be sent together."""

    def __init__(self, connection: Connection, trace: Trace) -> None:
        self.trace = trace
        self._connection = connection
        self._waiting: list[Message] = []
        self._sent = time.monotonic()

    def send(self, message: Message) -> None:
        if isinstance(message, Outcome | Divided):
            message.timings = self.trace.take(message.key)
        self._waiting.append(message)
        now = time.monotonic()
        if not isinstance(message, Outcome) or now - self._sent > OUTCOME_SECONDS:
            try:
                self._connection.send(self._waiting)
            except OSError:  # the runner has died
                os._exit(0)
            self._waiting = []
            self._sent = now


def _answer(batch: LoadingBatch, processor: Processor, error_keys: Record, runner: _Runner) -> None:
    for group in [[item] for item in batch] if processor.one_by_one else [batch]:
        with _about(group[0][0]) if len(group) == 1 else nullcontext():
            _work(processor, group, error_keys, runner)


def _work(processor: Processor, group: LoadingBatch, error_keys: Record, runner: _Runner) -> None:
    keys = tuple(utterance.key for utterance, _ in group)
    lengths = (utterance.duration or UNKNOWN_SECONDS for utterance, _ in group)
    expected = sum(map(processor.weight, lengths))
    runner.send(Begun(keys, expected))
    batch = _undivided(processor, _loaded(group, error_keys, runner), error_keys, runner)
    if not batch:
        return
    actual = sum(processor.weight(loaded.seconds) for loaded in batch)
    if actual > expected or len(group) > 1:
        runner.send(Begun(keys, actual))
    answered = 0
    try:
        for loaded, answer in zip(batch, processor.compute(batch), strict=True):
            runner.send(_answered(loaded, answer, error_keys))
            answered += 1
    except OutputFailed:
        raise
    except Exception as e:
        if len(batch) == 1:
            runner.send(_failure(batch[0].utterance, e, error_keys))
        else:
            _work_apart(processor, batch[answered:], error_keys, runner)


def _work_apart(
    processor: Processor, batch: Sequence[Loaded], error_keys: Record, runner: _Runner
) -> None:
    """Compute utterances one by one, to find the one for which the batch failed."""
    runner.trace.waiting(loaded.utterance.key for loaded in batch)
    for loaded in batch:
        load = partial(_load, processor, runner.trace, loaded.utterance)
        _work(processor, [(loaded.utterance, load)], error_keys, runner)


def _loaded(group: LoadingBatch, error_keys: Record, runner: _Runner) -> list[Loaded]:
    """Load a group. Return the loaded utterances, and send the outcomes of the others."""
    batch: list[Loaded] = []
    for utterance, load in group:
        try:
            if utterance.record.get("error") is not None:
                runner.send(_carried(utterance, error_keys))
            else:
                batch.append(load())
        except Exception as e:
            runner.send(_failure(utterance, e, error_keys))
    return batch


def _undivided(
    processor: Processor, batch: Sequence[Loaded], error_keys: Record, runner: _Runner
) -> list[Loaded]:
    """Return the utterances to compute whole, and the parts. Send the division of the others."""
    whole: list[Loaded] = []
    runner.trace.computing(loaded.utterance.key for loaded in batch)
    for loaded in batch:
        utterance = loaded.utterance
        try:
            division = None if utterance.part else processor.divide(loaded)
            if division:
                stamped = replace(division, file=file_stamp(utterance.audio))
                runner.send(Divided(utterance.index, stamped))
            else:
                whole.append(loaded)
        except Exception as e:
            runner.send(_failure(utterance, e, error_keys))
    return whole


def _carried(utterance: Utterance, error_keys: Record) -> Outcome:
    """The outcome of an utterance that failed in an earlier stage: its record, unchanged but for
    ``error_keys`` that it lacks."""
    record = utterance.record
    line = manifest.dump({**record, **{k: v for k, v in error_keys.items() if k not in record}})
    return Outcome(utterance.index, (line,), 0.0, error_type(line.encode()))


def _answered(
    loaded: Loaded, answer: Sequence[Record] | Payload | UtteranceError, error_keys: Record
) -> Outcome:
    if isinstance(answer, UtteranceError):
        return _failure(loaded.utterance, answer, error_keys)
    if isinstance(answer, Payload):
        outcome = success_outcome(loaded.utterance, [answer.record], loaded.seconds)
        return replace(outcome, data=answer.data)
    return success_outcome(loaded.utterance, answer, loaded.seconds)


def _failure(utterance: Utterance, error: Exception, error_keys: Record) -> Outcome:
    expected = isinstance(error, UtteranceError)
    return error_outcome(utterance, error, error_keys, "" if expected else traceback.format_exc())
