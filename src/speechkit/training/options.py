"""The options of a training, as the Python call takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechkit.engines.finetune.protocol import LoraOptions

METRICS = ("wer", "cer")
EXPORTS = ("ct2",)
COMPUTE_TYPES = ("auto", "float32", "bfloat16", "float16")
EPOCHS = 3
LEARNING_RATE = 1e-5  # of all weights; that of adapters is higher
#: Of tiny.en, trained with adapters on spoken digits, LibriSpeech's WER rises from 14.8 to 15.5 %
#: in 40 steps; at 1e-3 it is 86 % after 60.
LORA_LEARNING_RATE = 2e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Changes of the training audio by chance, each drawn anew every time an utterance is used.

    ``speed``: the largest change, 0.1 for 0.9 to 1.1 times. ``gain``: the largest change in dB.
    ``noise``: a folder of audio that is added with an SNR in dB between the two of ``snr``.
    ``spec_augment``: mask bands and stretches of the features.
    """

    speed: float = 0.0
    gain: float = 0.0
    noise: Path | None = None
    snr: tuple[float, float] = (5.0, 25.0)
    spec_augment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneOptions:
    """A training.

    ``train``, ``evaluation`` and ``guards``: inputs, as every stage takes them; each guard is
    measured alone. ``channel`` and ``track``: to read of all of them. ``model``: folder or name.
    ``context``: seconds of an encoder window, None for
    that of the longest utterance. ``steps``: None for ``epochs``. ``examples_per_step``: of all
    ranks together. ``learning_rate``: the highest, None for the usual one; ``warmup``: steps until
    it is reached. ``language``: of lines without ``lang``. ``timestamps``: train those of lines
    that have times. ``evaluate_every`` and ``save_every`` in steps, 0 for ten a training;
    ``keep_every``: checkpoints kept beside the last and the best, in steps, 0 for none.
    ``patience``: evaluations without a better one until the training ends, 0 for no end.
    ``guard_budget``: the rise in WER, in points, beyond which a checkpoint can't be the best.
    ``workers``: processes that decode audio, 0 for as many as the CPUs granted suggest.
    """

    train: tuple[str, ...]
    model: str
    output: Path
    evaluation: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    channel: int | None = None
    track: str | None = None
    context: float | None = None
    steps: int | None = None
    epochs: int = EPOCHS
    examples_per_step: int = 16
    learning_rate: float | None = None
    warmup: int | None = None
    weight_decay: float = 0.0
    clip: float = 1.0
    seed: int = 0
    lora: LoraOptions | None = None
    freeze_encoder: bool = False
    gradient_checkpointing: bool = False
    language: str | None = None
    timestamps: bool = True
    augmentation: Augmentation = Augmentation()
    evaluate_every: int = 0
    save_every: int = 0
    keep_every: int = 0
    metric: str = "wer"
    patience: int = 0
    guard_budget: float | None = None
    export: str | None = None
    batch_size: int = 0
    device: str = "auto"
    compute_type: str = "auto"
    workers: int = 0
    offline: bool = False
    restart: bool = False
