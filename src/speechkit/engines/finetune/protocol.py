"""What a model in training is given and says. Loads no heavy package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """Low-rank adapters (Hu et al. 2021) instead of all weights.

    ``targets``: the ends of the names of the linear layers that get one.
    """

    rank: int
    alpha: float
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerOptions:
    """A model and how it is trained.

    ``model``: a folder of transformers' layout. ``context``: seconds of audio in each window of the
    encoder. ``batch_size``: examples computed at once; 0 for the most that fit on the device.
    ``clip``: the norm to which gradients are cut, 0 for any. ``spec_augment``: mask bands and
    stretches of the features (Park et al. 2019).
    """

    model: Path
    device: str = "auto"
    compute_type: str = "auto"
    context: float = 30.0
    batch_size: int = 0
    lora: LoraOptions | None = None
    freeze_encoder: bool = False
    gradient_checkpointing: bool = False
    weight_decay: float = 0.0
    clip: float = 1.0
    spec_augment: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TrainingExample:
    """``tokens``: what the decoder has to say after the start of a transcript, the language, the
    task and the end included. ``seed``: of all that is done to it by chance."""

    waveform: Waveform
    tokens: tuple[int, ...]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """A step, as all ranks see it.

    ``loss``: the mean over all ``tokens`` of the step, in nats. ``norm``: of the gradients before
    they were clipped. ``skipped``: why no weight was changed, as a phrase; "" if they were.
    ``batch_size``: examples computed at once, after any halving. ``scale``: of the loss in float16.
    """

    loss: float
    norm: float
    tokens: int
    skipped: str = ""
    batch_size: int = 0
    scale: float | None = None


class Trainer(Protocol):
    """A model in training. Deterministic on a CPU: equal calls give equal bits.

    Examples that don't fit in the device's memory at once are computed in halves, and the smaller
    size is kept. Raise `OutOfMemory` where a single one doesn't fit.
    """

    batch_size: int
    device: str
    compute_type: str
    trainable: int  # parameters
    parameters: int

    def fit_batch(self, longest: TrainingExample) -> None:
        """Set `batch_size` by trial, unless the options give one."""
        ...

    def step(
        self, examples: Sequence[TrainingExample], learning_rate: float, seed: int
    ) -> StepResult:
        """Train on the examples of a step, of which this rank has those given.

        A loss or gradients that are NaN or infinite change nothing but the scale of float16.
        """
        ...

    def save_model(self, folder: Path) -> None:
        """Write the model as transformers, `asr` and a later training load it, adapters merged."""
        ...

    def save_state(self, folder: Path) -> None:
        """Write what `restore` needs beside the options: weights in training, optimiser, scaler."""
        ...

    def restore(self, folder: Path) -> None:
        """Return to a saved state, to the bit. Raise ValueError for a damaged one."""
        ...
