"""Trains NeMo models: a CTC model, helped by a loss that knows where each word lies, and the
decoder and the joint network of a transducer over an encoder that has learnt already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from nemo.collections.asr.models import ASRModel
from torch import Tensor, nn

from .digits import NAMES, RATE, Heard, Samples
from .nemo_audio import Mixer

PARTS = 2  # of each batch, computed at the same time by threads of their own
SHUFFLED = 8  # batches drawn at once and cut by length, so that little of a batch is padding
FRAME_SECONDS = 0.04  # of an encoder's
TELLING = 0.5  # weight of the loss of telling each frame's digit
IGNORED = -100  # by the cross entropy


@dataclass(frozen=True)
class Recipe:
    """How to train; ``rate`` is the highest of a one-cycle schedule."""

    updates: int
    rate: float
    strings: int = 14  # in each part of a batch


class Batch(NamedTuple):
    """`signals` (strings, samples), `tokens` (strings, most tokens), and their lengths; `told`
    (strings, frames): the digit of each frame, from 1 on, 0 for none."""

    signals: Tensor
    samples: Tensor
    tokens: Tensor
    counts: Tensor
    told: Tensor


class Trainer:
    """About the same model each time: the parts of a batch meet in the encoder's running means."""

    def __init__(self, model: ASRModel, mixers: list[Mixer]) -> None:
        torch.manual_seed(1)
        self._model = model
        self._mixers = mixers
        self._transducer = hasattr(model, "joint")
        self._teller = nn.Linear(model.cfg.encoder.d_model, len(NAMES) + 1)
        taught = [model.decoder, model.joint] if self._transducer else [model, self._teller]
        self._parameters = [p for part in taught for p in part.parameters() if p.requires_grad]

    def train(self, recipe: Recipe) -> None:
        """Also once more, to go on from where it is."""
        torch.set_num_threads(1)
        self._model.train()
        if self._transducer:
            self._model.encoder.eval()
        parameters, updates = self._parameters, recipe.updates
        tuner = torch.optim.AdamW(parameters, recipe.rate, betas=(0.9, 0.98), weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            tuner, recipe.rate, updates, pct_start=0.15, cycle_momentum=False
        )
        parts = [_batches(mixer, self._model, recipe.strings) for mixer in self._mixers]
        began = time.monotonic()
        with ThreadPoolExecutor(len(parts)) as pool:
            for update in range(1, updates + 1):
                losses, found = zip(*pool.map(self._gradients, parts), strict=True)
                for parameter, *those in zip(parameters, *found, strict=True):
                    parameter.grad = sum(those) / len(parts)
                nn.utils.clip_grad_norm_(parameters, 1.0)
                tuner.step()
                schedule.step()
                if update % 50 == 0 or update == updates:
                    loss, took = sum(losses) / len(losses), time.monotonic() - began
                    print(f"update {update}: loss {loss:.2f}, {took:.0f} s", flush=True)
        self._model.eval()

    def _gradients(self, part: Iterator[Batch]) -> tuple[float, tuple[Tensor, ...]]:
        torch.set_num_threads(1)
        loss = self._loss(next(part))
        return loss.item(), torch.autograd.grad(loss, self._parameters)

    def _loss(self, batch: Batch) -> Tensor:
        model = self._model
        with torch.set_grad_enabled(not self._transducer):
            features, lengths = model.preprocessor(input_signal=batch.signals, length=batch.samples)
            encoded, frames = model.encoder(audio_signal=features, length=lengths)
        if self._transducer:
            decoded, _, _ = model.decoder(targets=batch.tokens, target_length=batch.counts)
            joint = model.joint(encoder_outputs=encoded, decoder_outputs=decoded)
            return transducer_loss(joint.log_softmax(-1), batch.tokens, frames, batch.counts).mean()
        loss = model.loss(
            log_probs=model.decoder(encoder_output=encoded),
            targets=batch.tokens,
            input_lengths=frames,
            target_lengths=batch.counts,
        )
        told = self._teller(encoded.transpose(1, 2)).transpose(1, 2)
        size = min(told.shape[2], batch.told.shape[1])
        telling = nn.functional.cross_entropy(told[:, :, :size], batch.told[:, :size])
        return torch.as_tensor(loss).mean() + TELLING * telling


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


def _collated(model: ASRModel, drawn: list[tuple[Samples, list[Heard]]]) -> Batch:
    signals = [torch.as_tensor(samples) for samples, _ in drawn]
    texts = [" ".join(word.text for word in heard) for _, heard in drawn]
    tokens = [torch.tensor(model.tokenizer.text_to_ids(text), dtype=torch.long) for text in texts]
    return Batch(
        nn.utils.rnn.pad_sequence(signals, batch_first=True),
        torch.tensor([len(one) for one in signals]),
        nn.utils.rnn.pad_sequence(tokens, batch_first=True),
        torch.tensor([len(one) for one in tokens]),
        nn.utils.rnn.pad_sequence(
            [_told(*one) for one in drawn], batch_first=True, padding_value=IGNORED
        ),
    )


def _told(samples: Samples, heard: list[Heard]) -> Tensor:
    told = torch.zeros(round(len(samples) / RATE / FRAME_SECONDS), dtype=torch.long)
    for word in heard:
        first, last = round(word.start / FRAME_SECONDS), round(word.end / FRAME_SECONDS)
        told[first:last] = NAMES.index(word.text) + 1
    return told
