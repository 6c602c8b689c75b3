from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from speechkit.commands.device_options import DeviceFlags
from speechkit.commands.finetune_changes import AugmentationFlags, LoraFlags
from speechkit.commands.finetune_options import (
    CheckpointFlags,
    DataFlags,
    EvaluationFlags,
    ModelFlags,
    PrecisionFlags,
    TrainArgument,
    TrainingFlags,
)
from speechkit.commands.options import AudioFlags, RunFlags, takes, without
from speechkit.training.options import FinetuneOptions
from speechkit.training.requirements import require_ready


@takes(
    model=ModelFlags,
    data=DataFlags,
    audio=AudioFlags,
    training=TrainingFlags,
    lora=LoraFlags,
    augmentation=AugmentationFlags,
    evaluation=EvaluationFlags,
    checkpoints=CheckpointFlags,
    device=without(DeviceFlags, "devices", "copy_models_to"),
    precision=PrecisionFlags,
    run=without(RunFlags, "output", "limit", "retry_failed", "time_limit", "metrics", "prometheus"),
)
def finetune(
    train: TrainArgument,
    *,
    model: ModelFlags,
    data: DataFlags,
    audio: AudioFlags,
    training: TrainingFlags,
    lora: LoraFlags,
    augmentation: AugmentationFlags,
    evaluation: EvaluationFlags,
    checkpoints: CheckpointFlags,
    device: DeviceFlags,
    precision: PrecisionFlags,
    run: RunFlags,
) -> int:
    """Train a Whisper on speech and its text.

    Every utterance is used or skipped with a reason. A training that was stopped or killed goes on
    where it was, and ends with the same weights.

    Example: speechkit finetune data.jsonl --model small --output-dir tuned
    """
    options = FinetuneOptions(
        train=tuple(train),
        model=model.name(),
        output=checkpoints.folder(),
        channel=audio.channel,
        track=audio.track,
        context=model.seconds(),
        **training.fields(),
        **evaluation.fields(),
        lora=lora.options(),
        freeze_encoder=model.freeze_encoder,
        language=data.language,
        timestamps=not data.no_timestamps,
        augmentation=augmentation.options(),
        save_every=checkpoints.save_every or 0,
        keep_every=checkpoints.keep_every or 0,
        export=checkpoints.export,
        batch_size=device.hardware().batch_size,
        device=device.device,
        compute_type=precision.compute_type,
        workers=run.workers,
        offline=device.offline,
        restart=run.restart,
    )
    return _run(options, checkpoints, run.summary)


def _run(options: FinetuneOptions, checkpoints: CheckpointFlags, summary: Path | None) -> int:
    from speechkit.commands.console import conclude
    from speechkit.engines.finetune.ranks import is_first
    from speechkit.reports.finetune import FinetuneReport
    from speechkit.reports.training_progress import TrainingDisplay
    from speechkit.runtime import logs
    from speechkit.training.finetune import finetune as train_model

    if checkpoints.dry_run:
        require_ready(options)
        return 0
    logs.configure(replace(logs.settings(), places={"stage": "finetune"}))
    with TrainingDisplay() as display:
        closing = train_model(
            options, metrics=checkpoints.metrics, listener=display, progress=display, signals=True
        )
    report = FinetuneReport(closing)
    return conclude(report, summary) if is_first() else report.exit_code
