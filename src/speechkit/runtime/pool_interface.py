"""What computes the batches of a run, and what it asks about their utterances."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from speechkit.engines.protocols import DeviceUse
from speechkit.errors import SpeechkitError
from speechkit.records import Division, Utterance
from speechkit.runtime.batching import Batch
from speechkit.runtime.divisions import Divisions
from speechkit.runtime.messages import Divided, Outcome
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import Stage
from speechkit.runtime.watch import Watch

Answer = Outcome | Divided
#: Whether a stall of the utterance with this index ends the run; None if no stall does.
StallEnds = Callable[[int], bool] | None


class Tasks(Protocol):
    """The utterances of the batches, and those that are divided: `Divisions` are those of a run."""

    def stage_of(self, index: int) -> Stage: ...

    def begin(self, utterance: Utterance, division: Division) -> list[Utterance]:
        """An utterance is divided: return the parts to compute."""
        ...

    def wants(self, task: Utterance) -> bool:
        """Whether the utterance or part is still to be computed."""
        ...

    def take(self, outcome: Outcome) -> Outcome | None:
        """Take the outcome of a part; return that of its utterance as soon as it is certain."""
        ...

    def fail(self, batch: Batch, error: SpeechkitError) -> SpeechkitError | None:
        """A worker can't compute the batch, nor any other with the same options. It is empty where
        the worker has none yet. Return the error if it ends all."""
        ...


class Computing(Protocol):
    """Computes batches: a `pool.Pool`, with processes of its own, or a share of those of others.

    ``uses``: of the devices, by processes that have ended.
    """

    @property
    def uses(self) -> Sequence[DeviceUse]: ...

    def answers(
        self, batches: Iterator[Batch], draining: Callable[[], bool]
    ) -> Generator[list[Answer], None, None]:
        """Yield answers as they come, until all batches are answered or the drain is over.

        An utterance has one outcome; one that is divided has its division and outcomes of its parts
        before. Raise fatal errors of the error tree.
        """
        ...


#: Begins the computing of a run. The folder is for temporary files.
BeginComputing = Callable[
    [Divisions, PoolOptions, Watch, StallEnds, Path | None], AbstractContextManager[Computing]
]
