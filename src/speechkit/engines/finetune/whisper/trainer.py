"""Training of a Whisper: its model by transformers, and steps of our own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from speechkit.engines.finetune.protocol import (
    StepResult,
    Trainer,
    TrainerOptions,
    TrainingExample,
)
from speechkit.engines.finetune.whisper import lora, model_folder, optimiser, tensor_files
from speechkit.engines.finetune.whisper.examples import Batch, Tensors, batches
from speechkit.engines.finetune.whisper.precision import Precision
from speechkit.engines.torch import device as torch_device
from speechkit.errors import OutOfMemory

if TYPE_CHECKING:
    from speechkit.engines.finetune.ranks import Ranks

#: Examples on a CPU, and seconds of their windows: fewer write the gradients too often, and more
#: of them don't stay in its caches.
CPU_BATCH, CPU_SECONDS = 16, 64
MARGIN = 1.25  # of the batch that is tried to the one that is taken
TENSORS, SCALER = "training.safetensors", "scaler.json"  # the files of a state


class WhisperTrainer(Trainer):
    """A Whisper in training on one rank's device.

    Raise `EngineMissing` where the folder holds no Whisper, and `UsageError` for options that
    don't suit it or the device.
    """

    def __init__(self, options: TrainerOptions, ranks: Ranks) -> None:
        self._options = options
        self._ranks = ranks
        self._device = torch_device.device(ranks.device or options.device, "finetune")
        self._precision = Precision(options.compute_type, self._device)
        model, self._base = model_folder.load(options.model, options.context)
        config = model.config
        _choose_weights(model, options)
        self._model: Any = model.to(self._device)
        self._tensors = Tensors(
            config.num_mel_bins,
            2 * config.max_source_positions,
            self._base.start,
            self._device,
            augment=options.spec_augment,
        )
        self._weights = {name: w for name, w in model.named_parameters() if w.requires_grad}
        self._optimiser = optimiser.adamw(self._weights, options.weight_decay)
        usual = min(CPU_BATCH, max(1, int(CPU_SECONDS / options.context)))
        self.batch_size = options.batch_size or usual
        self.device = str(self._device)
        self.compute_type = torch_device.name(self._precision.dtype)
        self.trainable = sum(weight.numel() for weight in self._weights.values())
        self.parameters = sum(weight.numel() for weight in model.parameters())

    def fit_batch(self, longest: TrainingExample) -> None:
        if self._options.batch_size == 0 and self._device.type == "cuda":
            self.batch_size = largest_batch(lambda size: self._fits(longest, size))

    def _fits(self, example: TrainingExample, size: int) -> bool:
        """Whether a batch of ``size`` times the example fits beside the gradients of another."""
        try:
            self._accumulate([example] * 2 * size, size, 1, 0)
        except Exception as e:
            if not torch_device.out_of_memory(e):
                raise
            return False
        finally:
            self._drop_gradients()
            torch_device.free_memory(self._device)
        return True

    def step(
        self, examples: Sequence[TrainingExample], learning_rate: float, seed: int
    ) -> StepResult:
        (tokens,) = self._ranks.sum(sum(len(example.tokens) for example in examples))
        if not tokens:
            return StepResult(loss=math.nan, norm=math.nan, tokens=0, skipped="no examples")
        scale = self._precision.scale
        (loss,) = self._ranks.sum(self._gradients(examples, int(tokens), seed))
        gradients = [weight.grad for weight in self._weights.values() if weight.grad is not None]
        self._ranks.sum_gradients(gradients)
        self._precision.unscale(self._optimiser)
        total = nn.utils.get_total_norm(gradients)
        norm = float(total)
        skipped = _unusable(loss, norm, scale)
        if not skipped:
            if 0 < self._options.clip < norm:
                nn.utils.clip_grads_with_norm_(self._weights.values(), self._options.clip, total)
            for group in self._optimiser.param_groups:
                group["lr"] = learning_rate
            self._optimiser.step()
        self._precision.update()
        self._drop_gradients()
        return StepResult(
            loss=loss,
            norm=norm,
            tokens=int(tokens),
            skipped=skipped,
            batch_size=self.batch_size,
            scale=scale,
        )

    def _gradients(self, examples: Sequence[TrainingExample], tokens: int, seed: int) -> float:
        """As `_accumulate`, begun anew with half the batch size while memory runs out."""
        while True:
            try:
                return self._accumulate(examples, self.batch_size, tokens, seed)
            except Exception as e:
                if not torch_device.out_of_memory(e):
                    raise
            self._drop_gradients()
            torch_device.free_memory(self._device)
            tried = min(self.batch_size, len(examples))
            if tried == 1:
                raise OutOfMemory(
                    f"--device {self.device}: a single example doesn't fit in its memory; train "
                    "with --gradient-checkpointing, --lora or a shorter --context"
                )
            self.batch_size = tried // 2

    def _accumulate(
        self, examples: Sequence[TrainingExample], size: int, tokens: int, seed: int
    ) -> float:
        """Add up the gradients of the examples, ``size`` at once, for the mean over ``tokens``.

        Returns their part of the loss.
        """
        chance = np.random.SeedSequence([seed, self._ranks.rank])
        torch.manual_seed(int(chance.generate_state(1, np.uint64)[0]))
        total = torch.zeros((), device=self._device)
        for part in batches(examples, size):
            loss = self._loss(self._tensors(part)) / tokens
            self._precision.scaled(loss).backward()
            total += loss.detach()
        for weight in self._weights.values():
            if weight.grad is None:  # no example of this rank, or a layer that was left out
                weight.grad = torch.zeros_like(weight)
        return float(total)

    def _loss(self, batch: Batch) -> Tensor:
        """The sum of the cross-entropies of the batch's targets."""
        model = self._model.model
        with self._precision.computing():
            with torch.set_grad_enabled(not self._options.freeze_encoder):
                encoded = model.encoder(batch.features).last_hidden_state
            decoded = model.decoder(
                input_ids=batch.inputs, encoder_hidden_states=encoded, use_cache=False
            ).last_hidden_state
            logits = self._model.proj_out(decoded.flatten(0, 1)[batch.places])
        return functional.cross_entropy(logits.float(), batch.targets, reduction="sum")

    def _drop_gradients(self) -> None:
        self._optimiser.zero_grad(set_to_none=True)

    def save_model(self, folder: Path) -> None:
        model_folder.save(folder, lora.merged(self._model), self._base)

    def save_state(self, folder: Path) -> None:
        tensor_files.write(folder / TENSORS, optimiser.state(self._weights, self._optimiser))
        self._precision.save(folder / SCALER)

    def restore(self, folder: Path) -> None:
        tensor_files.read_into(folder / TENSORS, optimiser.state(self._weights, self._optimiser))
        self._precision.restore(folder / SCALER)


def _choose_weights(model: WhisperForConditionalGeneration, options: TrainerOptions) -> None:
    """Put in what is trained, and freeze the rest."""
    encoder = model.model.encoder
    if options.lora:
        parts = ("model.decoder",) if options.freeze_encoder else ("model.encoder", "model.decoder")
        lora.add(model, options.lora, parts)
    elif options.freeze_encoder:
        encoder.requires_grad_(False)
    if options.gradient_checkpointing:
        with warnings.catch_warnings():  # it has another name in later versions
            warnings.simplefilter("ignore", FutureWarning)
            model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    encoder.train(not options.freeze_encoder)


def largest_batch(fits: Callable[[int], bool]) -> int:
    """The largest power of two, up to what is worth while, that fits with some room to spare."""
    size = 1
    while 2 * size <= torch_device.MOST and fits(math.ceil(MARGIN * 2 * size)):
        size *= 2
    return size


def _unusable(loss: float, norm: float, scale: float | None) -> str:
    """Why no weight can be changed by the gradients, as a phrase; "" if they can."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if math.isfinite(norm):
        return ""
    of = f", at a loss scale of {scale:g}" if scale else ""
    return f"the norm of the gradients is {norm}{of}"
