"""Trains NeMo models: the loss of each, and what of a CTC model a transducer starts from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from nemo.collections.asr.models import ASRModel
from torch import Tensor, nn

from .nemo_audio import Mixer

PARTS = 2  # of each batch, computed at the same time by threads of their own
SHUFFLED = 8  # batches drawn at once and cut by length, so that little of a batch is padding


@dataclass(frozen=True)
class Recipe:
    """How to train; ``rate`` is the highest of a one-cycle schedule."""

    updates: int
    rate: float
    strings: int = 12  # in each part of a batch


class Batch(NamedTuple):
    """`signals` (strings, samples), `tokens` (strings, most tokens), and their lengths."""

    signals: Tensor
    samples: Tensor
    tokens: Tensor
    counts: Tensor


def train(model: ASRModel, mixers: list[Mixer], recipe: Recipe) -> None:
    """About the same model each time: the parts of a batch meet in the encoder's running means."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model.train()
    parameters = [one for one in model.parameters() if one.requires_grad]
    tuner = torch.optim.AdamW(parameters, recipe.rate, betas=(0.9, 0.98), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        tuner, recipe.rate, recipe.updates, pct_start=0.15, cycle_momentum=False
    )
    parts = [_batches(mixer, model, recipe.strings) for mixer in mixers]

    def gradients(part: Iterator[Batch]) -> tuple[float, tuple[Tensor, ...]]:
        torch.set_num_threads(1)
        loss = _loss(model, next(part))
        return loss.item(), torch.autograd.grad(loss, parameters)

    began = time.monotonic()
    with ThreadPoolExecutor(len(parts)) as pool:
        for update in range(1, recipe.updates + 1):
            losses, found = zip(*pool.map(gradients, parts), strict=True)
            for parameter, *those in zip(parameters, *found, strict=True):
                parameter.grad = sum(those) / len(parts)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            tuner.step()
            schedule.step()
            if update % 50 == 0 or update == recipe.updates:
                took = time.monotonic() - began
                print(
                    f"update {update}: loss {sum(losses) / len(losses):.2f}, {took:.0f} s",
                    flush=True,
                )
    model.eval()


def _loss(model: ASRModel, batch: Batch) -> Tensor:
    encoded = model.forward(input_signal=batch.signals, input_signal_length=batch.samples)
    frames = encoded[1]
    if not hasattr(model, "joint"):
        loss = model.loss(
            log_probs=encoded[0],
            targets=batch.tokens,
            input_lengths=frames,
            target_lengths=batch.counts,
        )
        return torch.as_tensor(loss).mean()
    decoded, _, _ = model.decoder(targets=batch.tokens, target_length=batch.counts)
    joint = model.joint(encoder_outputs=encoded[0], decoder_outputs=decoded)
    return transducer_loss(joint.log_softmax(-1), batch.tokens, frames, batch.counts).mean()


def transducer_loss(joint: Tensor, tokens: Tensor, frames: Tensor, counts: Tensor) -> Tensor:
    """Minus the log probability of each string over all alignments (Graves 2012, arXiv 1211.3711).

    `joint` (strings, frames, tokens + 1, vocabulary and blank) in log probabilities. A frame's
    whole row of the lattice comes from the one before by a cumulative sum: on a CPU that is many
    times as fast as NeMo's own loss, which goes from node to node.
    """
    rows = torch.arange(len(joint))
    blank = joint[..., -1]
    index = tokens[:, None, :, None].expand(-1, joint.shape[1], -1, -1)
    spoken = joint[:, :, :-1].gather(-1, index).squeeze(-1)
    across = nn.functional.pad(spoken.cumsum(-1), (1, 0))  # all tokens so far, in this frame
    reached = [across[:, 0]]
    for frame in range(1, joint.shape[1]):
        before = reached[-1] + blank[:, frame - 1] - across[:, frame]
        reached.append(before.logcumsumexp(-1) + across[:, frame])
    last = torch.stack(reached, 1)[rows, frames - 1, counts]
    return -(last + blank[rows, frames - 1, counts])


def _batches(mixer: Mixer, model: ASRModel, size: int) -> Iterator[Batch]:
    order = torch.Generator().manual_seed(1)
    while True:
        drawn = sorted((mixer.draw() for _ in range(size * SHUFFLED)), key=lambda one: len(one[0]))
        for index in torch.randperm(SHUFFLED, generator=order).tolist():
            yield _collated(model, drawn[index * size : (index + 1) * size])


def _collated(model: ASRModel, drawn: list[tuple[object, str]]) -> Batch:
    signals = [torch.as_tensor(samples) for samples, _ in drawn]
    tokens = [
        torch.tensor(model.tokenizer.text_to_ids(text), dtype=torch.long) for _, text in drawn
    ]
    return Batch(
        nn.utils.rnn.pad_sequence(signals, batch_first=True),
        torch.tensor([len(one) for one in signals]),
        nn.utils.rnn.pad_sequence(tokens, batch_first=True),
        torch.tensor([len(one) for one in tokens]),
    )
