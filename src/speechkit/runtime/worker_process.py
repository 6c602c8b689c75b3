"""A worker process on the side of the pool, which starts, feeds and ends it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from speechkit.engines.protocols import DeviceUse
from speechkit.records import TaskKey, Utterance
from speechkit.runtime import interpreter, logs
from speechkit.runtime.messages import DRAIN_SIGNALS, STACKS_SIGNAL
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import Stage
from speechkit.runtime.stderr_relay import StderrRelay

PROGRAM = "speechkit.runtime.worker_main"
STACKS_SECONDS = 1.0  # time limit for the stacks of a stuck worker
#: Variables with the number of threads of numeric libraries.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(eq=False, slots=True)
class WorkerProcess:
    """A worker process and its unanswered batches. No other worker of a run has its ``number``.

    A thread sends the ``outbox``, because a hanging worker with a full pipe must not block the
    pool. ``stage``: that of the batches it gets. ``deadline``: a time of the pool's clock.
    ``stacks``: a pipe for its threads' stacks.
    """

    number: int
    process: subprocess.Popen[bytes]
    connection: Connection
    stacks: int
    stage: Stage
    gpu: str | None = None
    relay: StderrRelay | None = None
    outbox: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    sender: threading.Thread = field(init=False)
    ready: bool = False
    batches: deque[dict[TaskKey, Utterance]] = field(default_factory=deque)  # unanswered
    begun: tuple[TaskKey, ...] = ()
    alone: bool = False  # it has a single suspect, and gets nothing else until that is answered
    use: DeviceUse | None = None
    deadline: float = float("inf")

    def __post_init__(self) -> None:
        self.sender = threading.Thread(target=self._send, daemon=True)
        self.sender.start()

    @classmethod
    def start(
        cls,
        number: int,
        stage: Stage,
        options: PoolOptions,
        *,
        gpu: str | None,
        folder: Path | None,
    ) -> WorkerProcess:
        """Start a process with the threads of the options for each numeric library.

        ``gpu``: the only GPU that it sees, None to leave that open. ``folder``: for its temporary
        files.
        """
        environment = {**os.environ, **dict.fromkeys(THREADS, str(options.threads))}
        if folder:
            environment["TMPDIR"] = str(folder)
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        ours, theirs = socket.socketpair()
        stacks, its_stacks = os.pipe()
        messages, its_messages = os.pipe() if logs.settings().as_json else (None, None)
        with theirs:
            # Ctrl-C reaches the workers, too. It is blocked until they ignore it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, DRAIN_SIGNALS)
            try:
                ends = str(theirs.fileno()), str(its_stacks)
                process = subprocess.Popen(
                    interpreter.command(PROGRAM, *ends, _starter(), str(options.niceness)),
                    stdin=subprocess.DEVNULL,
                    stderr=its_messages,
                    pass_fds=[theirs.fileno(), its_stacks],
                    env=environment,
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                for descriptor in filter(None, (its_stacks, its_messages)):
                    os.close(descriptor)
        how, relay = logs.settings().of_worker(number), None
        if messages:
            relay = StderrRelay(messages, {"pid": process.pid, **how.places})
        worker = cls(number, process, Connection(ours.detach()), stacks, stage, gpu, relay)
        worker.outbox.put(how)
        return worker

    def give(self, batch: Sequence[Utterance], *, alone: bool) -> None:
        self.alone = alone
        self.batches.append({utterance.key: utterance for utterance in batch})
        self.outbox.put(tuple(batch))

    def all_stacks(self) -> str:
        """The stacks of its threads, written by a signal handler even if it hangs in C code."""
        self.process.send_signal(STACKS_SIGNAL)
        text = b""
        while wait([self.stacks], STACKS_SECONDS) and (piece := os.read(self.stacks, 1 << 16)):
            text += piece
        return text.decode(errors="replace").strip() or "(it doesn't answer)"

    def end(self, *, patience: float = 0.0) -> int:
        """Wait ``patience`` seconds for its end, then kill the process. Return its exit status."""
        if patience <= 0:
            self.process.kill()
        self.outbox.put(None)
        try:
            status = self.process.wait(timeout=patience or None)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.sender.join(timeout=1.0)
        if self.relay:
            self.relay.finish()
        self.connection.close()
        os.close(self.stacks)
        return status

    def _send(self) -> None:
        """Send the messages in the outbox up to None, which also ends the worker."""
        with contextlib.suppress(OSError):  # it has died, as the pool will notice
            message: object = self
            while message is not None:
                message = self.outbox.get()
                self.connection.send(message)


def _starter() -> str:
    """``process`` where the worker may be bound to the life of the thread that starts it: the
    kernel's signal of a parent's death comes when that thread ends."""
    in_main = threading.current_thread() is threading.main_thread()
    return "process" if in_main else "thread"
