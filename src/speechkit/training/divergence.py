"""When a training has lost its way, and how it goes on.

A step whose loss or gradients are NaN or infinite is skipped. After too many in a row the training
returns to its last good checkpoint with half the learning rate.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import replace

from speechkit.engines.finetune.protocol import StepResult
from speechkit.errors import TrainingDiverged, TrainingInterrupted
from speechkit.runtime.stopping import GO_ON
from speechkit.training.state import TrainingState

LIMIT = 5  # skipped steps in a row
SILENT_LIMIT = 5  # steps in a row without audio: it is the storage that fails, not a file
FLOAT16_LIMIT = 20  # the scale of the loss begins at 2^16, and each of its skipped steps halves it
MOST_RETURNS = 3
LOWER_RATE = 0.5
HIGH_NORM = 10.0  # times the median
RECENT = 100  # steps of which the median is taken
FEWEST = 10  # steps before there is a median


class GradientNorms:
    """The norms of recent steps, among which a high one stands out."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)

    def unusual(self, norm: float) -> float:
        """How many times the median a norm is, 0 unless it is a high one; remembers it."""
        median = statistics.median(self._recent) if len(self._recent) >= FEWEST else 0.0
        self._recent.append(norm)
        return norm / median if median and norm > HIGH_NORM * median else 0.0


def counted(state: TrainingState, result: StepResult) -> TrainingState:
    """The state after a step that was skipped or not."""
    if not result.skipped:
        return replace(state, skipped_in_a_row=0)
    return replace(
        state,
        skipped_steps=state.skipped_steps + 1,
        skipped_in_a_row=state.skipped_in_a_row + 1,
    )


def has_diverged(state: TrainingState, result: StepResult) -> bool:
    return state.skipped_in_a_row >= (LIMIT if result.scale is None else FLOAT16_LIMIT)


def require_sound(state: TrainingState, failure: str) -> None:
    """Raise `TrainingInterrupted` after too many steps of which no audio could be loaded.

    Those that were not saved are learnt from when it is there again.
    """
    if state.silent_in_a_row >= SILENT_LIMIT:
        raise TrainingInterrupted(
            f"step {state.step}: no audio of {SILENT_LIMIT} steps in a row could be loaded "
            f"({failure}); see that it is there, and {GO_ON}"
        )


def last_good_step(state: TrainingState) -> int:
    """The latest step after which a checkpoint can be good: a step after it changed the weights.

    Where every step after a checkpoint was skipped, its weights may be the cause.
    """
    return max(0, state.step - state.skipped_in_a_row - 1)


def returned(good: TrainingState, diverged: TrainingState) -> TrainingState:
    """The state to go on with, which is that of a good checkpoint but for the rate and the counts.

    Raise `TrainingDiverged` after too many returns.
    """
    if diverged.returns >= MOST_RETURNS:
        raise TrainingDiverged(
            f"step {diverged.step}: {diverged.skipped_in_a_row} steps in a row had a loss or "
            f"gradients that are NaN or infinite, also with {diverged.rate_factor:g} of the "
            f"learning rate, after {MOST_RETURNS} returns to a former checkpoint; lower "
            "--learning-rate, or train in float32"
        )
    return replace(
        good,
        rate_factor=diverged.rate_factor * LOWER_RATE,
        returns=diverged.returns + 1,
        skipped_steps=diverged.skipped_steps,
        skipped_in_a_row=0,
        seconds=diverged.seconds,
        evaluation_seconds=diverged.evaluation_seconds,
    )
