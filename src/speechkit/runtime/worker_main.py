"""A worker process: builds its engine once, then answers batches until its pipe closes.

Started by `pool.Pool` as a program of its own. Signals that end a run are the runner's affair and
ignored here; when the runner dies, the pipe closes and the worker ends, even in mid-computation.
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
from functools import partial
from multiprocessing.connection import Connection

from speechkit.errors import (
    EngineFailed,
    OutputFailed,
    ResultTooLong,
    SpeechkitError,
    UtteranceError,
)
from speechkit.io import manifest
from speechkit.io.journal import error_type
from speechkit.io.json_lines import MOST_BYTES
from speechkit.records import Record, Utterance
from speechkit.runtime.messages import (
    DRAIN_SIGNALS,
    STACKS_SIGNAL,
    BatchDone,
    Begun,
    Failed,
    Message,
    Outcome,
    Ready,
    error_outcome,
)
from speechkit.runtime.stage import Loaded, Processor

PR_SET_PDEATHSIG = 1  # prctl(2)
UNKNOWN_SECONDS = 60.0  # assumed of an utterance until it is decoded, for its time limit
Load = Callable[[], Loaded]
Batch = list[tuple[Utterance, Load]]

OUTCOME_SECONDS = 0.05  # how long an outcome may wait for the next message


def main() -> None:
    for name in DRAIN_SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DRAIN_SIGNALS)  # the runner held them back till now
    os.dup2(2, 1)  # whatever a library prints must not mix with the data on stdout
    faulthandler.enable()
    faulthandler.register(STACKS_SIGNAL, file=int(sys.argv[2]))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    connection = Connection(int(sys.argv[1]))
    batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
    try:
        processor, error_keys, loaders = connection.recv()
    except (EOFError, OSError):  # the runner died meanwhile
        return
    threading.Thread(
        target=_receive, args=(connection, batches, _loader(processor, loaders)), daemon=True
    ).start()
    runner = _Runner(connection)
    try:
        processor.open()
    except Exception as e:
        error = e if isinstance(e, SpeechkitError) else EngineFailed(f"can't start: {e!r}")
        runner.tell(Failed(error, traceback.format_exc()))
        return
    runner.tell(Ready())
    while (batch := batches.get()) is not None:
        try:
            for group in [[one] for one in batch] if processor.one_by_one else [batch]:
                _work(processor, group, error_keys, runner)
        except OutputFailed as e:  # the next utterance's would fail, too
            runner.tell(Failed(e, traceback.format_exc()))
            return
        runner.tell(BatchDone(processor.device_use()))


def _loader(processor: Processor, threads: int) -> Callable[[Utterance], Load]:
    """Begins to load an utterance, in one of the threads; without any it waits to be asked."""
    if not threads:
        return lambda utterance: partial(processor.load, utterance)
    pool = ThreadPoolExecutor(threads)
    return lambda utterance: pool.submit(processor.load, utterance).result


def _receive(
    connection: Connection,
    batches: queue.SimpleQueue[Batch | None],
    load: Callable[[Utterance], Load],
) -> None:
    """Takes batches off the pipe at once, so that neither side ever waits for the other to read."""
    try:
        while (batch := connection.recv()) is not None:
            batches.put([(utterance, load(utterance)) for utterance in batch])
    except (EOFError, OSError):
        os._exit(0)
    batches.put(None)


class _Runner:
    """The other end of the pipe. Outcomes wait a moment, to travel with what follows them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[Message] = []
        self._told = time.monotonic()

    def tell(self, message: Message) -> None:
        self._waiting.append(message)
        now = time.monotonic()
        if not isinstance(message, Outcome) or now - self._told > OUTCOME_SECONDS:
            try:
                self._connection.send(self._waiting)
            except OSError:  # it died: nobody is left to answer to
                os._exit(0)
            self._waiting = []
            self._told = now


def _work(processor: Processor, group: Batch, error_keys: Record, runner: _Runner) -> None:
    indices = tuple(utterance.index for utterance, _ in group)
    lengths = (utterance.duration or UNKNOWN_SECONDS for utterance, _ in group)
    expected = sum(map(processor.weight, lengths))
    runner.tell(Begun(indices, expected))
    batch = _loaded(group, error_keys, runner)
    if not batch:
        return
    actual = sum(processor.weight(loaded.seconds) for loaded in batch)
    if actual > expected or len(group) > 1:
        runner.tell(Begun(indices, actual))
    answered = 0
    try:
        for loaded, records in zip(batch, processor.compute(batch), strict=True):
            runner.tell(_success(loaded, records))
            answered += 1
    except OutputFailed:
        raise
    except Exception as e:
        if len(batch) == 1:
            runner.tell(_failure(batch[0].utterance, e, error_keys))
        else:
            _work_apart(processor, batch[answered:], error_keys, runner)


def _work_apart(
    processor: Processor, batch: Sequence[Loaded], error_keys: Record, runner: _Runner
) -> None:
    """One by one, to find the utterance that the batch has failed for."""
    for loaded in batch:
        load = partial(processor.load, loaded.utterance)
        _work(processor, [(loaded.utterance, load)], error_keys, runner)


def _loaded(group: Batch, error_keys: Record, runner: _Runner) -> list[Loaded]:
    """The utterances that could be loaded; the others are answered for."""
    batch: list[Loaded] = []
    for utterance, load in group:
        try:
            if utterance.record.get("error") is not None:
                runner.tell(_carried(utterance, error_keys))
            else:
                batch.append(load())
        except Exception as e:
            runner.tell(_failure(utterance, e, error_keys))
    return batch


def _success(loaded: Loaded, records: Sequence[Record]) -> Outcome:
    lines = tuple(map(manifest.dump, records))
    longest = max((len(line.encode()) for line in lines), default=0)
    if longest > MOST_BYTES:
        raise ResultTooLong(
            f"its line would take {longest >> 20} MiB, and no stage reads one of more than "
            f"{MOST_BYTES >> 20}; cut the recording into utterances (vad --emit segments)"
        )
    return Outcome(loaded.utterance.index, lines, loaded.seconds)


def _carried(utterance: Utterance, error_keys: Record) -> Outcome:
    """An utterance that failed in an earlier stage passes on as it is."""
    record = utterance.record
    line = manifest.dump({**record, **{k: v for k, v in error_keys.items() if k not in record}})
    return Outcome(utterance.index, (line,), 0.0, error_type(line.encode()))


def _failure(utterance: Utterance, error: Exception, error_keys: Record) -> Outcome:
    expected = isinstance(error, UtteranceError)
    return error_outcome(utterance, error, error_keys, "" if expected else traceback.format_exc())
