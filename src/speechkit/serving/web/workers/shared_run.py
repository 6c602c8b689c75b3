"""One of the runs that share the workers of a lane."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence

from speechkit.engines.protocols import DeviceUse
from speechkit.records import Division, Utterance
from speechkit.runtime.batching import Batch
from speechkit.runtime.divisions import Divisions
from speechkit.runtime.messages import Outcome
from speechkit.runtime.pool_interface import Answer
from speechkit.runtime.stage import Stage

POLL_SECONDS = 0.2  # interval between checks of the drain
AHEAD = 2  # batches that wait for a worker, so that none waits for the next batch


class SharedRun:
    """The `Computing` of a run, in the workers of a lane.

    Its own thread calls `answers`, the lane's thread everything else. Indices of utterances are
    those of the run. ``stage``: equal to that of ``divisions``, and the same object for all runs
    with equal options. ``wake``: tells the lane that batches have come. ``turn``: its last one, 0
    before the first.
    """

    uses: Sequence[DeviceUse] = ()

    def __init__(self, divisions: Divisions, stage: Stage, wake: Callable[[], None]) -> None:
        self.divisions = divisions
        self.stage = stage
        self.waiting: deque[Batch] = deque()
        self.has_left = False
        self.turn = 0
        self._wake = wake
        self._answers: queue.SimpleQueue[list[Answer] | Exception] = queue.SimpleQueue()

    def answers(
        self, batches: Iterator[Batch], draining: Callable[[], bool]
    ) -> Generator[list[Answer], None, None]:
        """As `Computing` has it. A drain doesn't wait for what has begun."""
        unanswered: set[int] = set()
        more = True
        while not draining():
            while more and len(self.waiting) < AHEAD:
                batch = next(batches, ())
                unanswered.update(utterance.index for utterance in batch)
                more = bool(batch)
                if more:
                    self.waiting.append(batch)
                    self._wake()
            if not unanswered:
                return
            answers = self._received()
            unanswered.difference_update(answer.index for answer in answers if _is_whole(answer))
            if answers:
                yield answers

    def _received(self) -> list[Answer]:
        """The answers that have come; none after a while. Raise the error of the lane."""
        try:
            answers = self._answers.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return []
        if isinstance(answers, Exception):
            raise answers
        return answers

    def next_batch(self) -> Batch:
        """The batch that has waited longest. Raise IndexError if none waits."""
        batch = self.waiting.popleft()
        self._answers.put([])  # another one may be got ready
        return batch

    def answer(self, answers: list[Answer]) -> None:
        self._answers.put(answers)

    def fail(self, error: Exception) -> None:
        """End the run with the error."""
        self._answers.put(error)

    def begin(self, utterance: Utterance, division: Division, workers: int) -> None:
        """Let the parts of a divided utterance wait, as ``workers`` share them."""
        parts = self.divisions.begin(utterance, division)
        self.waiting.extend(self.stage.batches_of_parts(parts, workers))

    def wants(self, task: Utterance) -> bool:
        return not self.has_left and self.divisions.wants(task)

    def take(self, outcome: Outcome) -> Outcome | None:
        return self.divisions.take(outcome)


def _is_whole(answer: Answer) -> bool:
    return isinstance(answer, Outcome) and answer.part is None
