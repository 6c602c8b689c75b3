"""The options of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from speechkit.commands.completion import model_names
from speechkit.commands.options import EngineOption, OutputOption, in_section
from speechkit.engines.finetune.protocol import LoraOptions
from speechkit.errors import UsageError
from speechkit.training.options import (
    COMPUTE_TYPES,
    EPOCHS,
    EXPORTS,
    LEARNING_RATE,
    LORA_LEARNING_RATE,
    METRICS,
    Augmentation,
)

DataOption = in_section("Data")
TrainingOption = in_section("Training")
LoraOption = in_section("Low-rank adapters (LoRA)")
AugmentationOption = in_section("Augmentation, drawn anew whenever an utterance is used")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFlags:
    """Adapters instead of all weights."""

    lora: Annotated[
        int | None,
        LoraOption(
            min=1,
            metavar="RANK",
            help="Train adapters of this rank instead of all weights. The result is an ordinary "
            "model: they are merged into it.",
        ),
    ] = None
    lora_alpha: Annotated[
        float | None,
        LoraOption(min=0.0, metavar="ALPHA", help="Their scale. Default: twice the rank."),
    ] = None
    lora_dropout: Annotated[
        float | None,
        LoraOption(min=0.0, max=0.99, metavar="P", help="Their dropout. Default: 0."),
    ] = None
    lora_targets: Annotated[
        str | None,
        LoraOption(
            metavar="NAMES",
            help="Linear layers that get one, with commas: q_proj, k_proj, v_proj, out_proj, fc1, "
            "fc2. Default: q_proj,v_proj.",
        ),
    ] = None

    def options(self) -> LoraOptions | None:
        """Raise `UsageError`."""
        further = {
            "--lora-alpha": self.lora_alpha,
            "--lora-dropout": self.lora_dropout,
            "--lora-targets": self.lora_targets,
        }
        if self.lora is None:
            if given := [name for name, value in further.items() if value is not None]:
                raise UsageError(f"{', '.join(given)}: only with --lora RANK")
            return None
        targets = {}
        if self.lora_targets is not None:
            names = tuple(name.strip() for name in self.lora_targets.split(","))
            if not all(names):
                raise UsageError(
                    f"--lora-targets {self.lora_targets}: names of layers with commas between "
                    "them, as q_proj,v_proj"
                )
            targets["targets"] = names
        alpha = 2.0 * self.lora if self.lora_alpha is None else self.lora_alpha
        dropout = self.lora_dropout or 0.0
        return LoraOptions(rank=self.lora, alpha=alpha, dropout=dropout, **targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationFlags:
    """Changes of the audio by chance."""

    spec_augment: Annotated[
        bool,
        AugmentationOption(
            "--spec-augment", help="Mask bands and stretches of the features (SpecAugment)."
        ),
    ] = False
    speed: Annotated[
        float,
        AugmentationOption(
            min=0.0, metavar="SHARE", help="Largest change of speed: 0.1 for 0.9 to 1.1 times."
        ),
    ] = 0.0
    gain: Annotated[
        float, AugmentationOption(min=0.0, metavar="DB", help="Largest change of loudness.")
    ] = 0.0
    noise: Annotated[
        Path | None, AugmentationOption(metavar="DIR", help="Folder of noise to add.")
    ] = None
    snr: Annotated[
        str | None,
        AugmentationOption(
            metavar="LOW,HIGH", help="Speech above the noise, in dB. Default: 5,25."
        ),
    ] = None

    def options(self) -> Augmentation:
        """Raise `UsageError`."""
        snr = {}
        if self.snr is not None:
            if self.noise is None:
                raise UsageError("--snr: only with --noise DIR")
            snr["snr"] = self._snr(self.snr)
        return Augmentation(
            speed=self.speed,
            gain=self.gain,
            noise=self.noise,
            spec_augment=self.spec_augment,
            **snr,
        )

    def _snr(self, text: str) -> tuple[float, float]:
        try:
            low, high = map(float, text.split(","))
        except ValueError:
            low, high = 1.0, 0.0
        if low > high:
            raise UsageError(f"--snr {text}: two numbers, the lower one first, as 5,25")
        return low, high


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
