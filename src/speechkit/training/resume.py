"""Where a training goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechkit.engines.finetune.protocol import Trainer
from speechkit.errors import OutputConflict
from speechkit.training.checkpoints import Checkpoints
from speechkit.training.state import TrainingState

if TYPE_CHECKING:
    from speechkit.engines.finetune.ranks import Ranks


def resume(
    trainer: Trainer, checkpoints: Checkpoints, ranks: Ranks, utterances: int
) -> TrainingState:
    """The state to go on from: that of the newest whole checkpoint, or of step 0 without one.

    Raise as `restore_newest`.
    """
    if ranks.rank == 0:
        checkpoints.sweep()
    state = restore_newest(trainer, checkpoints, ranks, utterances)
    if state is None:
        return TrainingState(used=(0,) * utterances)
    trainer.batch_size = state.batch_size
    return state


def restore_newest(
    trainer: Trainer,
    checkpoints: Checkpoints,
    ranks: Ranks,
    utterances: int,
    most: int | None = None,
) -> TrainingState | None:
    """Restore the newest whole checkpoint, of step ``most`` at the most; its state, None for none.

    Raise `OutputConflict` where some are whole, and none can be restored.
    """
    if ranks.rank == 0:
        checkpoints.doubt()
    tried = False
    while True:
        newest = checkpoints.newest(most) if ranks.rank == 0 else None
        step = ranks.share(newest.state.step if newest else None)
        if step is None and not tried:
            return None
        if step is None:
            raise OutputConflict("no checkpoint can be restored; start over with --restart")
        state, flaw = _restore(trainer, checkpoints, step, utterances)
        if not ranks.any(bool(flaw)):
            return state
        if ranks.rank == 0:
            checkpoints.pass_over(step, flaw or "another process could not restore it")
        tried = True


def _restore(
    trainer: Trainer, checkpoints: Checkpoints, step: int, utterances: int
) -> tuple[TrainingState | None, str]:
    """Restore a checkpoint; return its state and what is wrong with it, "" for nothing."""
    try:
        checkpoint = checkpoints.read(step)
        known = len(checkpoint.state.used)
        if known != utterances:
            return None, f"it is of {known} utterances, not of {utterances}"
        trainer.restore(checkpoint.folder)
    except (OSError, ValueError) as e:
        return None, str(e)
    return checkpoint.state, ""
