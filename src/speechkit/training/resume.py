"""Where a training goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechkit.engines.finetune.protocol import Trainer
from speechkit.errors import OutputConflict
from speechkit.training.checkpoints import Checkpoint, Checkpoints
from speechkit.training.state import TrainingState

if TYPE_CHECKING:
    from speechkit.engines.finetune.ranks import Ranks


def resume(
    trainer: Trainer, checkpoints: Checkpoints, ranks: Ranks, utterances: int
) -> TrainingState:
    """Restore the newest whole checkpoint, and return its state; that of step 0 without one.

    Raise `OutputConflict` where there are some, and none can be restored.
    """
    if ranks.rank == 0:
        checkpoints.sweep()
    tried = 0
    while True:
        newest = checkpoints.newest() if ranks.rank == 0 else None
        step = ranks.share(newest.state.step if newest else None)
        if step is None and not tried:
            return TrainingState(used=(0,) * utterances)
        if step is None:
            raise OutputConflict("no checkpoint can be restored; start over with --restart")
        checkpoint = checkpoints.read(step)
        flaw = _restore(trainer, checkpoint, utterances)
        if not ranks.any(bool(flaw)):
            return checkpoint.state
        if ranks.rank == 0:
            checkpoints.pass_over(step, flaw or "another process could not restore it")
        tried += 1


def _restore(trainer: Trainer, checkpoint: Checkpoint, utterances: int) -> str:
    """Restore a checkpoint; return what is wrong with it, "" for nothing."""
    if len(checkpoint.state.used) != utterances:
        return f"it is of {len(checkpoint.state.used)} utterances, not of {utterances}"
    try:
        trainer.restore(checkpoint.folder)
    except ValueError as e:
        return str(e)
    trainer.batch_size = checkpoint.state.batch_size
    return ""
