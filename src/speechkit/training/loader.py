"""The examples of each step, decoded and augmented ahead of the training in worker processes.

The processes are those of `runtime.pool`: they start afresh, import no engine, ignore Ctrl-C, end
with this process however it ends, and are replaced when they die or exceed the time limit. An
utterance that was in the hands of such a process is tried once more, and then fails.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from types import TracebackType

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.runtime.divisions import Divisions
from speechkit.runtime.messages import Outcome
from speechkit.runtime.pool import Pool
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import Stage
from speechkit.runtime.stopping import StopRequest
from speechkit.runtime.watch import Watch
from speechkit.training.augmentation import Augmenter, find_noises
from speechkit.training.batch_plan import BatchPlan, Draw
from speechkit.training.example_audio import ExampleAudio
from speechkit.training.example_tasks import LoadedStep, Tasks, share
from speechkit.training.options import Augmentation
from speechkit.training.run_folder import STAGE
from speechkit.training.training_data import TrainingData

__all__ = ["LoadedStep", "Loader"]

HELD = 900.0  # seconds of audio that wait for the training; as many may be in the making
MOST_STEPS = 16  # that wait, however short
TIME_LIMIT = 20.0  # seconds of work per second of audio, as of every stage
POLL_SECONDS = 0.2


class Loader:
    """Loads steps of ``plan`` in ``workers`` processes, for one of several ``ranks``.

    A context manager: leaving it ends the processes. ``channel`` and ``track`` as in `audio.load`.
    ``stop``: of the training. Raise `UsageError` where the folder of noise has no audio.
    """

    def __init__(
        self,
        data: TrainingData,
        plan: BatchPlan,
        augmentation: Augmentation,
        seed: int,
        *,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 1,
        channel: int | None = None,
        track: str | None = None,
        time_limit: float = TIME_LIMIT,
        stop: StopRequest | None = None,
    ) -> None:
        self._data = data
        self._plan = plan
        self._rank, self._ranks = rank, ranks
        augmenter = Augmenter(
            augmentation, find_noises(augmentation), round(data.context * SAMPLE_RATE)
        )
        self._stage = Stage(
            name=STAGE,
            processor=ExampleAudio(augmenter, seed, channel, track),
            batch_audio=0.0,
            options={},
        )
        self._options = PoolOptions(workers=workers, time_limit=time_limit)
        self._stop_request = stop or StopRequest()
        self._running: _Ahead | None = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def steps(self, first: int, last: int) -> Iterator[LoadedStep]:
        """Yield the steps from ``first`` to ``last``; a later call ends an earlier one.

        They end early where the training is told to stop while it waits for the next one.
        Raise `EngineFailed` where processes die one after the other.
        """
        self._stop()
        tasks = Tasks(self._shares(first, last), self._data, self._most_steps())
        self._running = ahead = _Ahead(self._stage, self._options, tasks)
        ahead.start()
        try:
            yield from ahead.steps(self._stop_request)
        finally:
            ahead.stop()

    def _stop(self) -> None:
        if self._running:
            self._running.stop()
            self._running = None

    def _shares(self, first: int, last: int) -> Iterator[tuple[int, Sequence[Draw]]]:
        for number in range(first, last + 1):
            yield number, share(self._plan.step(number), self._rank, self._ranks)

    def _most_steps(self) -> int:
        """The number of steps that wait."""
        utterances = self._data.utterances
        seconds = sum(one.seconds for one in utterances) / max(1, len(utterances))
        examples = max(1, len(self._plan.step(1)) // self._ranks)
        return int(min(max(2.0, HELD / (seconds * examples + 1e-9)), MOST_STEPS))


class _Ahead:
    """A thread that runs the pool and puts the steps into a queue, in which as many fit."""

    def __init__(self, stage: Stage, options: PoolOptions, tasks: Tasks) -> None:
        self._pool = Pool(Divisions(stage), options, Watch())
        self._tasks = tasks
        self._steps: queue.Queue[LoadedStep | BaseException | None] = queue.Queue(tasks.most)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def steps(self, stop: StopRequest) -> Iterator[LoadedStep]:
        while not (stop.is_set and self._steps.empty()):
            try:
                step = self._steps.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if step is None:
                return
            if isinstance(step, BaseException):
                raise step
            yield step

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._pool:
                while not (self._tasks.are_done or self._stopping.is_set()):
                    self._answer_all()
            self._put(None)
        except BaseException as e:  # whatever it is, the training must hear of it
            self._put(e)

    def _answer_all(self) -> None:
        """Until the tasks end, which they also do where this rank has none of many a step."""
        with closing(self._pool.answers(self._tasks, self._stopping.is_set)) as answers:
            for group in answers:
                for answer in group:
                    assert isinstance(answer, Outcome)
                    self._tasks.answer(answer)
                self._put_finished()
                if self._stopping.is_set():
                    return
        self._put_finished()

    def _put_finished(self) -> None:
        for step in self._tasks.finished():
            self._put(step)

    def _put(self, item: LoadedStep | BaseException | None) -> None:
        while not self._stopping.is_set():
            try:
                self._steps.put(item, timeout=POLL_SECONDS)
                return
            except queue.Full:
                pass
