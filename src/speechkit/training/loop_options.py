"""The options of the loop of a training, with the usual values where none are given."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.training.options import LEARNING_RATE, LORA_LEARNING_RATE, FinetuneOptions
from speechkit.training.schedule import Schedule, usual_warmup


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """``evaluate_every``, ``save_every`` and ``keep_every`` in steps, the last one 0 for none."""

    steps: int
    schedule: Schedule
    seed: int = 0
    evaluate_every: int
    save_every: int
    keep_every: int = 0
    metric: str = "wer"
    patience: int = 0

    @classmethod
    def of(cls, options: FinetuneOptions, steps_per_epoch: int) -> LoopOptions:
        steps = options.steps or options.epochs * steps_per_epoch
        usual = LORA_LEARNING_RATE if options.lora else LEARNING_RATE
        rate = usual if options.learning_rate is None else options.learning_rate
        warmup = usual_warmup(steps) if options.warmup is None else options.warmup
        tenth = -(-steps // 10)
        return cls(
            steps=steps,
            schedule=Schedule(rate, warmup, steps),
            seed=options.seed,
            evaluate_every=options.evaluate_every or tenth,
            save_every=options.save_every or tenth,
            keep_every=options.keep_every,
            metric=options.metric,
            patience=options.patience,
        )
