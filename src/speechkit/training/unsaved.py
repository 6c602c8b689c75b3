"""What became of the examples since the last checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from speechkit.records import Record
from speechkit.training.state import TrainingState

if TYPE_CHECKING:
    from speechkit.engines.finetune.ranks import Ranks
    from speechkit.training.loader import LoadedStep


@dataclass(slots=True)
class Unsaved:
    """Of those of this rank: utterances learnt from, error records by utterance, and the number of
    those whose augmentation failed."""

    used: list[int] = field(default_factory=list)
    failures: list[tuple[int, Record]] = field(default_factory=list)
    unaugmented: int = 0

    def add(self, loaded: LoadedStep, *, learnt: bool) -> None:
        if learnt:
            self.used += loaded.used
        for index, error in loaded.failures.items():
            self.failures.append((index, {"type": type(error).__name__, "message": str(error)}))
        self.unaugmented += loaded.unaugmented

    @property
    def latest_failure(self) -> str:
        return str(self.failures[-1][1]["message"]) if self.failures else ""

    def added_to(self, state: TrainingState, ranks: Ranks) -> TrainingState:
        """The state, with what all ranks have to add."""
        used, failures = list(state.used), dict(state.failures)
        unaugmented = state.unaugmented
        for unsaved in ranks.gather(asdict(self)):
            for index in unsaved["used"]:
                used[index] += 1
            failures.update(unsaved["failures"])
            unaugmented += unsaved["unaugmented"]
        return replace(state, used=tuple(used), failures=failures, unaugmented=unaugmented)
