"""What a training tells whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from speechkit.engines.finetune.protocol import StepResult

if TYPE_CHECKING:
    from speechkit.training.evaluation import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """The step ``step`` of ``steps``, over all ranks.

    ``seconds``: of wall time, from the end of the step before; ``waited``: those of them that the
    first rank waited for audio. ``examples`` and their ``audio_seconds``: what was learnt from.
    """

    step: int
    steps: int
    result: StepResult
    learning_rate: float
    seconds: float
    waited: float
    examples: int
    audio_seconds: float


class Listener(Protocol):
    """Is called in the thread of the training, on the first rank."""

    def step(self, info: StepInfo) -> None: ...

    def evaluated(self, measured: Measured) -> None: ...

    def saved(self, step: int) -> None: ...

    def event(self, kind: str, **numbers: Any) -> None:
        """Something out of the ordinary: a step that was skipped, a return to a checkpoint."""
        ...


class Listeners:
    """Several of them as one."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def step(self, info: StepInfo) -> None:
        for one in self._listeners:
            one.step(info)

    def evaluated(self, measured: Measured) -> None:
        for one in self._listeners:
            one.evaluated(measured)

    def saved(self, step: int) -> None:
        for one in self._listeners:
            one.saved(step)

    def event(self, kind: str, **numbers: Any) -> None:
        for one in self._listeners:
            one.event(kind, **numbers)
