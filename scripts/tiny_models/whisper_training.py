"""Trains a tiny Whisper: the text's loss, helped by two that know where each word lies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import sinusoids

from .digits import NAMES
from .whisper_targets import IGNORED, Asker, Target
from .whisper_text import Ids
from .whisper_windows import MELS, Mixer, Sounds, Window

STEPS = 50  # encoder positions a second
HALVES = 2  # of each batch, computed at the same time by threads of their own


@dataclass(frozen=True)
class Recipe:
    """What the result depends on besides the data."""

    seconds: int = 3  # of a window
    width: int = 64
    layers: int = 2  # of the encoder and of the decoder
    heads: int = 2
    windows: int = 16  # in each half of a batch; each is decoded in two ways
    updates: int = 900
    muon_rate: float = 0.03  # of the layers' matrices
    adam_rate: float = 6e-3  # of all else
    frame_weight: float = 0.5  # of the loss of telling each encoder position's digit
    look_weight: float = 0.3  # of the loss of where the alignment head looks
    seed: int = 1


class Batch(NamedTuple):
    """`features` (windows, mels, frames) and `frames` (windows, positions); of the rest twice as
    many rows, a window's two adjacent."""

    features: Tensor
    frames: Tensor
    tokens: Tensor
    labels: Tensor
    looks: Tensor


def build(recipe: Recipe, ids: Ids) -> WhisperForConditionalGeneration:
    config = WhisperConfig(
        vocab_size=len(ids.tokenizer),
        num_mel_bins=MELS,
        d_model=recipe.width,
        encoder_layers=recipe.layers,
        decoder_layers=recipe.layers,
        encoder_attention_heads=recipe.heads,
        decoder_attention_heads=recipe.heads,
        encoder_ffn_dim=4 * recipe.width,
        decoder_ffn_dim=4 * recipe.width,
        max_source_positions=recipe.seconds * STEPS,
        max_target_positions=448,  # faster-whisper takes this for granted
        pad_token_id=ids.end,
        bos_token_id=ids.end,
        eos_token_id=ids.end,
        decoder_start_token_id=ids.start,
        attn_implementation="eager",
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for module in model.model.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                # transformers' 0.02 is made for widths near 1000: too small to start from here.
                nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        # Smooth, so that positions later than any in training are not mere noise.
        places = model.model.decoder.embed_positions.weight
        places.copy_(0.1 * sinusoids(*places.shape))
    return model


def train(recipe: Recipe, sounds: Sounds, ids: Ids) -> WhisperForConditionalGeneration:
    """The same recipe and data give the same model, whatever the number of cores."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    model = build(recipe, ids).train()
    teller = nn.Linear(recipe.width, len(NAMES) + 1)
    parameters = [p for p in [*model.parameters(), *teller.parameters()] if p.requires_grad]
    halves = [_batches(recipe, sounds, ids, [recipe.seed, half]) for half in range(HALVES)]
    tuners = list(_tuners(recipe, model, parameters))

    def gradients(half: Iterator[Batch]) -> tuple[float, tuple[Tensor, ...]]:
        torch.set_num_threads(1)
        loss = _loss(recipe, model, teller, next(half))
        return loss.item(), torch.autograd.grad(loss, parameters)

    began = time.monotonic()
    with ThreadPoolExecutor(HALVES) as pool:
        for update in range(1, recipe.updates + 1):
            losses, found = zip(*pool.map(gradients, halves), strict=True)
            for parameter, *parts in zip(parameters, *found, strict=True):
                parameter.grad = sum(parts) / HALVES
            nn.utils.clip_grad_norm_(parameters, 1.0)
            for tuner in tuners:
                tuner.step()
            if update % 100 == 0 or update == recipe.updates:
                took = time.monotonic() - began
                print(f"update {update}: loss {sum(losses) / HALVES:.2f}, {took:.0f} s", flush=True)
    return model.eval()


def _tuners(
    recipe: Recipe, model: nn.Module, parameters: list[nn.Parameter]
) -> Iterator[torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler]:
    """Muon for the layers' matrices learns in half the updates; each with its one-cycle rate."""
    matrices = [p for name, p in model.named_parameters() if ".layers." in name and p.ndim == 2]
    own = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in parameters if id(parameter) not in own]
    for optimizer in (
        torch.optim.Muon(matrices, recipe.muon_rate, weight_decay=0.01, ns_steps=4),
        torch.optim.AdamW(others, recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.01),
    ):
        rate = optimizer.param_groups[0]["lr"]
        yield optimizer
        yield torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, recipe.updates, pct_start=0.15, cycle_momentum=False
        )


def _batches(recipe: Recipe, sounds: Sounds, ids: Ids, seed: list[int]) -> Iterator[Batch]:
    random = np.random.default_rng(seed)
    mixer = Mixer(sounds, recipe.seconds, random)
    asker = Asker(ids, recipe.seconds, random)
    while True:
        # Seldom long, since one long text makes its whole batch long.
        asker.longest_before = 30 if random.random() < 0.05 else 4
        windows = [mixer.draw() for _ in range(recipe.windows)]
        yield _collate(windows, [t for w in windows for t in asker.both(w)], recipe.seconds, ids)


def _collate(windows: list[Window], targets: list[Target], seconds: int, ids: Ids) -> Batch:
    rows, positions = len(targets), seconds * STEPS
    length = max(len(target.tokens) for target in targets)
    tokens, labels = torch.full((rows, length), ids.end), torch.full((rows, length), IGNORED)
    looks = torch.zeros((rows, length, positions))
    frames = torch.zeros((len(windows), positions), dtype=torch.long)
    for row, target in enumerate(targets):
        tokens[row, : len(target.tokens)] = torch.tensor(target.tokens)
        labels[row, : len(target.labels)] = torch.tensor(target.labels)
        for step, (start, end) in target.looks.items():
            first = int(start * STEPS)
            last = min(max(first + 1, round(end * STEPS)), positions)
            looks[row, step, first:last] = 1.0 / (last - first)
    for row, window in enumerate(windows):
        for word in window.heard:
            frames[row, round(word.start * STEPS) : round(word.end * STEPS)] = (
                NAMES.index(word.text) + 1
            )
    features = torch.from_numpy(np.stack([window.features for window in windows]))
    return Batch(features, frames, tokens, labels, looks)


def _loss(
    recipe: Recipe, model: WhisperForConditionalGeneration, teller: nn.Linear, batch: Batch
) -> Tensor:
    heard = model.model.encoder(batch.features).last_hidden_state
    said = model.model.decoder(
        input_ids=batch.tokens,
        encoder_hidden_states=heard.repeat_interleave(2, dim=0),
        output_attentions=True,
        use_cache=False,
    )
    logits = model.proj_out(said.last_hidden_state)
    text = nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten())
    frames = nn.functional.cross_entropy(teller(heard).flatten(0, 1), batch.frames.flatten())
    looking = said.cross_attentions[-1][:, 0].clamp(min=1e-6).log()
    looks = -(batch.looks * looking).sum() / batch.looks.sum().clamp(min=1.0)
    return text + recipe.frame_weight * frames + recipe.look_weight * looks
