"""The options of a training."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from speechkit.commands.completion import model_names
from speechkit.commands.options import EngineOption, OutputOption, in_section
from speechkit.errors import UsageError
from speechkit.training.options import (
    COMPUTE_TYPES,
    EPOCHS,
    EXPORTS,
    LEARNING_RATE,
    LORA_LEARNING_RATE,
    METRICS,
)

DataOption = in_section("Data")
TrainingOption = in_section("Training")
EvaluationOption = in_section("Evaluation and guards")
DeviceOption = in_section("Device")


TrainArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="TRAIN...",
        help="Speech and its text: manifests (.jsonl, .json, .gz), or folders and audio files with "
        "texts beside them.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFlags:
    """The model that is trained on."""

    model: Annotated[
        str | None,
        EngineOption(
            metavar="PATH|ID",
            autocompletion=model_names,
            help="Whisper to begin with: a folder of transformers' layout, a name (see speechkit "
            "models list) or an id on the Hugging Face hub.",
        ),
    ] = None
    context: Annotated[
        str,
        EngineOption(
            metavar="auto|SECONDS",
            help="Audio that the encoder hears at once, at most 30 s. auto: as long as the longest "
            "utterance. Shorter is faster; asr uses it for clips that fit.",
        ),
    ] = "auto"
    freeze_encoder: Annotated[
        bool, EngineOption("--freeze-encoder", help="Train the decoder alone.")
    ] = False

    def name(self) -> str:
        """Raise `UsageError`."""
        if self.model is None:
            raise UsageError("--model: needed, the Whisper to begin with")
        return self.model

    def seconds(self) -> float | None:
        """None for auto. Raise `UsageError`."""
        if self.context == "auto":
            return None
        try:
            return float(self.context)
        except ValueError:
            raise UsageError(f"--context {self.context}: seconds, or auto") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFlags:
    """What is learnt from the lines of the input."""

    language: Annotated[
        str | None,
        DataOption(
            metavar="CODE", help="Language of lines without `lang`, as en. English-only models: en."
        ),
    ] = None
    no_timestamps: Annotated[
        bool,
        DataOption(
            "--no-timestamps",
            help="Train on texts alone. Otherwise lines with `segments` or `words` train times.",
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFlags:
    """How long and how fast it learns."""

    steps: Annotated[
        int | None, TrainingOption(min=1, metavar="N", help="Optimiser steps. Default: --epochs.")
    ] = None
    epochs: Annotated[
        int | None,
        TrainingOption(min=1, metavar="N", help=f"Passes through the data. Default: {EPOCHS}."),
    ] = None
    examples_per_step: Annotated[
        int,
        TrainingOption(
            min=1,
            metavar="N",
            help="Utterances that a step learns from, on all GPUs together. The device computes "
            "--batch-size of them at once.",
        ),
    ] = 16
    learning_rate: Annotated[
        float | None,
        TrainingOption(
            min=0.0,
            metavar="RATE",
            help=f"Highest learning rate, from which it falls to 0. Default: {LEARNING_RATE:g}, "
            f"with --lora {LORA_LEARNING_RATE:g}.",
        ),
    ] = None
    warmup: Annotated[
        int | None,
        TrainingOption(
            min=0, metavar="N", help="Steps until it is reached. Default: a tenth of all."
        ),
    ] = None
    weight_decay: Annotated[
        float, TrainingOption(min=0.0, metavar="DECAY", help="Weight decay of AdamW.")
    ] = 0.0
    clip: Annotated[
        float, TrainingOption(min=0.0, metavar="NORM", help="Norm to which gradients are cut.")
    ] = 1.0
    seed: Annotated[
        int, TrainingOption(min=0, metavar="N", help="Seed of the order and of all chance.")
    ] = 0
    gradient_checkpointing: Annotated[
        bool,
        TrainingOption(
            "--gradient-checkpointing",
            help="Compute layers twice instead of keeping what they computed: less memory, a third "
            "more time.",
        ),
    ] = False

    def passes(self) -> int:
        """Raise `UsageError`."""
        if self.steps is not None and self.epochs is not None:
            raise UsageError("--steps and --epochs exclude each other")
        return self.epochs or EPOCHS

    def fields(self) -> dict[str, Any]:
        """Those of `FinetuneOptions`. Raise `UsageError`."""
        return {**asdict(self), "epochs": self.passes()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFlags:
    """What the checkpoints are measured on."""

    eval: Annotated[
        list[str] | None,
        EvaluationOption(
            metavar="INPUT",
            help="Held-out speech with texts, which tells the best checkpoint. Several times for "
            "several inputs.",
        ),
    ] = None
    guard: Annotated[
        list[str] | None,
        EvaluationOption(
            metavar="INPUT",
            help="Speech of another kind, which shows what was forgotten: measured before the "
            "training and with each new best checkpoint. Several times for several guards.",
        ),
    ] = None
    evaluate_every: Annotated[
        int | None,
        EvaluationOption(
            min=1, metavar="STEPS", help="Between evaluations. Default: ten evaluations in all."
        ),
    ] = None
    metric: Annotated[
        str, EvaluationOption(choices=METRICS, help="Error rate that tells the best checkpoint.")
    ] = METRICS[0]
    patience: Annotated[
        int | None,
        EvaluationOption(
            min=1,
            metavar="N",
            help="End after so many evaluations without a better checkpoint. Default: never.",
        ),
    ] = None
    guard_budget: Annotated[
        float | None,
        EvaluationOption(
            min=0.0,
            metavar="POINTS",
            help="Refuse as the best a checkpoint whose WER on a guard rose by more points.",
        ),
    ] = None

    def fields(self) -> dict[str, Any]:
        """Those of `FinetuneOptions`."""
        return {
            "evaluation": tuple(self.eval or ()),
            "guards": tuple(self.guard or ()),
            "evaluate_every": self.evaluate_every or 0,
            "metric": self.metric,
            "patience": self.patience or 0,
            "guard_budget": self.guard_budget,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFlags:
    """The folder of a training."""

    output_dir: Annotated[
        Path | None,
        OutputOption(
            metavar="DIR",
            help="Folder for best/ and last/, which asr --engine whisper --model takes, for the "
            "checkpoints, and for what became of each utterance.",
        ),
    ] = None
    save_every: Annotated[
        int | None,
        OutputOption(
            min=1, metavar="STEPS", help="Between checkpoints. Default: ten checkpoints in all."
        ),
    ] = None
    keep_every: Annotated[
        int | None,
        OutputOption(
            min=1,
            metavar="STEPS",
            help="Keep the checkpoints of every so many steps, beside the last and the best.",
        ),
    ] = None
    export: Annotated[
        str | None,
        OutputOption(
            choices=EXPORTS, help="Write the best model for faster-whisper, too (CTranslate2)."
        ),
    ] = None
    metrics: Annotated[
        Path | None,
        OutputOption(
            metavar="FILE",
            help="Append a line for each step to this .jsonl file, for `speechkit report`. "
            "Default: metrics.jsonl in --output-dir.",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        OutputOption("--dry-run", help="Check the options and fetch the model, but train nothing."),
    ] = False

    def folder(self) -> Path:
        """Raise `UsageError`."""
        if self.output_dir is None:
            raise UsageError("--output-dir: needed for the model and the checkpoints")
        return Path(os.path.abspath(self.output_dir))  # noqa: PTH100


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionFlags:
    """The numbers of the device."""

    compute_type: Annotated[
        str,
        DeviceOption(
            choices=COMPUTE_TYPES,
            help="Precision. auto: bfloat16 on a GPU that has it, float32 on a CPU.",
        ),
    ] = COMPUTE_TYPES[0]
