"""The closing account of a training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechkit.engines.finetune.protocol import Trainer
from speechkit.engines.finetune.whisper import INFO
from speechkit.errors import OutputConflict
from speechkit.io import atomic, typed_json
from speechkit.io.file_names import shown
from speechkit.io.hardware import peak_memory
from speechkit.runtime.device_memory import device_memory
from speechkit.runtime.summary import versions
from speechkit.training.checkpoints import BEST, LAST
from speechkit.training.evaluation import Measured
from speechkit.training.export import Proof
from speechkit.training.options import FinetuneOptions
from speechkit.training.run_folder import STAGE, SUMMARY
from speechkit.training.state import TrainingState
from speechkit.training.training_data import TrainingData
from speechkit.training.watch import StepInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Of the steps of one run: ``waited`` seconds of them for audio."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    examples: int = 0
    audio_seconds: float = 0.0


class Pace:
    """A `speechkit.training.watch.Listener` that adds up the steps of a run."""

    def __init__(self) -> None:
        self.total = Throughput()

    def step(self, info: StepInfo) -> None:
        before = self.total
        self.total = Throughput(
            steps=before.steps + 1,
            seconds=before.seconds + info.seconds,
            waited=before.waited + info.waited,
            examples=before.examples + info.examples,
            audio_seconds=before.audio_seconds + info.audio_seconds,
        )

    def evaluated(self, measured: Measured) -> None:
        pass

    def saved(self, step: int) -> None:
        pass

    def event(self, kind: str, **numbers: Any) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSummary:
    """The closing account of a training. Times and audio in seconds, memory in bytes.

    Of the ``utterances`` of the input, ``usable`` could be trained on, ``timed`` of them with the
    times of their words or segments, and ``trained`` were; ``skipped``: the others, by reason;
    ``failed``: those that couldn't be loaded later, by type of error. ``unaugmented``: examples
    whose augmentation failed. ``steps`` of ``planned`` were done, and ``ended`` says why no more:
    "steps" or "patience"; ``skipped_steps`` of them changed nothing, and ``returns`` to a former
    checkpoint were needed. ``before``, ``best`` and ``last``: what evaluations have measured, None
    without; ``best_model``, ``last_model``: the folders. ``context``: of a window of the encoder.
    ``export``: the proof of the model for another engine. ``train_seconds`` and
    ``evaluation_seconds``: of all runs of this training. ``pace``: of the last one. ``hint``: how
    it could be faster, as a sentence.
    """

    output: str
    model: str
    utterances: int
    usable: int
    timed: int
    trained: int
    skipped: dict[str, int]
    failed: dict[str, int]
    unaugmented: int
    planned: int
    steps: int
    ended: str
    skipped_steps: int
    returns: int
    before: Measured | None
    best: Measured | None
    last: Measured | None
    best_model: str | None
    last_model: str
    export: Proof | None
    context: float
    batch_size: int
    device: str
    compute_type: str
    trainable: int
    parameters: int
    train_seconds: float
    evaluation_seconds: float
    audio_seconds: float
    pace: Throughput
    peak_memory: int
    device_memory: int | None
    hint: str
    options: dict[str, Any]
    versions: dict[str, str]
    complete_already: bool = False

    @property
    def exit_code(self) -> int:
        refused = self.before is not None and self.best is None
        measured = (self.before, self.best, self.last)
        unheard = any(one.failed for one in measured if one)
        unproven = self.export is not None and self.export.refused
        lacking = self.skipped or self.failed or refused or unheard or unproven
        return 3 if lacking else 0

    def to_json(self) -> dict[str, Any]:
        return {"stage": STAGE, **asdict(self), "exit_code": self.exit_code}

    def write(self, folder: Path) -> None:
        """Raise `OutputFailed`."""
        atomic.write_text(folder / SUMMARY, json.dumps(self.to_json(), indent=2) + "\n")


def read_summary(folder: Path) -> FinetuneSummary:
    """The summary of a finished training. Raise `OutputConflict` for a damaged one."""
    path = folder / SUMMARY
    try:
        fields = typed_json.parse(path.read_bytes())
        if not isinstance(fields, Mapping):
            raise ValueError("no object")
        ours = {key: value for key, value in fields.items() if key not in ("stage", "exit_code")}
        return typed_json.to_dataclass(FinetuneSummary, ours)
    except (OSError, ValueError) as e:
        raise OutputConflict(
            f"{shown(path)}: is no summary of a training ({e}); remove it to have it written "
            "again, or start over with --restart"
        ) from e


def summarised(
    options: FinetuneOptions,
    data: TrainingData,
    trainer: Trainer,
    state: TrainingState,
    planned: int,
    pace: Pace,
    *,
    before: Measured | None,
    export: Proof | None,
    hint: str,
) -> FinetuneSummary:
    """The summary of a training that has ended."""
    return FinetuneSummary(
        output=str(options.output),
        model=options.model,
        utterances=data.count,
        usable=len(data.utterances),
        timed=data.timed,
        trained=sum(count > 0 for count in state.used),
        skipped=data.reasons,
        failed=state.failed,
        unaugmented=state.unaugmented,
        planned=planned,
        steps=state.step,
        ended=state.ended,
        skipped_steps=state.skipped_steps,
        returns=state.returns,
        before=before,
        best=state.best_measured,
        last=state.evaluations[-1] if state.evaluations else None,
        best_model=str(options.output / BEST) if state.best else None,
        last_model=str(options.output / LAST),
        export=export,
        context=data.context,
        batch_size=trainer.batch_size,
        device=trainer.device,
        compute_type=trainer.compute_type,
        trainable=trainer.trainable,
        parameters=trainer.parameters,
        train_seconds=round(state.seconds, 3),
        evaluation_seconds=round(state.evaluation_seconds, 3),
        audio_seconds=round(sum(one.seconds for one in data.utterances), 3),
        pace=pace.total,
        peak_memory=peak_memory(),
        device_memory=device_memory(),
        hint=hint,
        options=_plain(asdict(options)),
        versions=versions(INFO.packages),
    )


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON has them."""
    plain: dict[str, Any] = json.loads(json.dumps(options, default=str))
    return plain
