"""What a training knows of itself beside its tensors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from speechkit.io import typed_json
from speechkit.records import Record
from speechkit.training.evaluation import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """After ``step`` steps; nothing of it is left to chance.

    ``rate_factor``: of the learning rate, halved at each of the ``returns`` to a former checkpoint.
    ``silent_in_a_row``: the latest steps, if none of their audio could be loaded.
    ``batch_size``: examples computed at once, 0 before that is known. ``used``: how often each
    utterance of the input was learnt from; ``failures``: error records of those that couldn't be
    loaded, by index. ``unaugmented``: examples whose augmentation failed. ``best``: the step of the
    best checkpoint, 0 for none. ``ended``: what has ended the training, "steps" or "patience"; ""
    while it goes on. ``seconds``: of training, without those of evaluation.
    """

    step: int = 0
    rate_factor: float = 1.0
    returns: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    silent_in_a_row: int = 0
    batch_size: int = 0
    used: tuple[int, ...] = ()
    failures: Mapping[int, Record] = field(default_factory=dict)
    unaugmented: int = 0
    evaluations: tuple[Measured, ...] = ()
    best: int = 0
    ended: str = ""
    seconds: float = 0.0
    evaluation_seconds: float = 0.0

    @property
    def best_measured(self) -> Measured | None:
        """The evaluation of the best checkpoint."""
        return next((one for one in self.evaluations if one.step == self.best > 0), None)

    @property
    def failed(self) -> dict[str, int]:
        """The number of utterances that each type of error has cost, the most frequent first."""
        types = Counter(str(record["type"]) for record in self.failures.values())
        return dict(types.most_common())

    def dump(self) -> str:
        few = asdict(replace(self, used=()))  # which would copy millions one by one
        return json.dumps(few | {"used": self.used}) + "\n"


def load_state(text: bytes | str) -> TrainingState:
    """The state that `TrainingState.dump` wrote. Raise ValueError for anything else."""
    fields: Any = typed_json.parse(text)
    used = fields.pop("used", None) if isinstance(fields, dict) else None
    if not isinstance(used, list) or not all(type(times) is int and times >= 0 for times in used):
        raise ValueError("used is no list of numbers")
    return replace(typed_json.to_dataclass(TrainingState, fields), used=tuple(used))
