"""Trains a tiny Whisper on spoken digits, in minutes on two CPU cores."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from .whisper_examples import IGNORED, STEPS, Example, Mixer, Targets
from .whisper_text import LANGUAGES, Ids

WINDOW = 3  # seconds
LONGEST = 6  # words in a window
SEED = 1


@dataclass(frozen=True)
class Recipe:
    """What the result depends on besides the data."""

    width: int = 64
    heads: int = 2
    encoder_layers: int = 2
    decoder_layers: int = 2
    batch: int = 32  # windows; each is decoded in two ways
    updates: int = 1000
    peak_rate: float = 4e-3
    frame_weight: float = 0.5  # of the loss of telling each encoder position's digit
    look_weight: float = 0.3  # of the loss of the alignment head


class Batch(NamedTuple):
    """Features (windows, mels, frames); the rest is twice as long, each window's targets adjacent."""

    features: Tensor
    tokens: Tensor
    labels: Tensor
    looks: Tensor
    frames: Tensor


def build_model(recipe: Recipe, ids: Ids) -> WhisperForConditionalGeneration:
    config = WhisperConfig(
        vocab_size=len(ids.tokenizer),
        num_mel_bins=80,
        d_model=recipe.width,
        encoder_layers=recipe.encoder_layers,
        decoder_layers=recipe.decoder_layers,
        encoder_attention_heads=recipe.heads,
        decoder_attention_heads=recipe.heads,
        encoder_ffn_dim=4 * recipe.width,
        decoder_ffn_dim=4 * recipe.width,
        max_source_positions=WINDOW * STEPS,
        max_target_positions=448,
        dropout=0.0,
        pad_token_id=ids.end,
        bos_token_id=ids.end,
        eos_token_id=ids.end,
        decoder_start_token_id=ids.start,
        begin_suppress_tokens=None,
        suppress_tokens=None,
        attn_implementation="eager",
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        # The encoder's sinusoids, but for 448 positions: those never trained on stay in line.
        places = model.model.decoder.embed_positions.weight
        places.copy_(0.1 * _sinusoids(*places.shape))
    return model


def _sinusoids(length: int, channels: int) -> Tensor:
    from transformers.models.whisper.modeling_whisper import sinusoids

    return sinusoids(length, channels)


def collate(examples: list[Example], ids: Ids) -> Batch:
    """Pads at the end. `examples` come in pairs that share their features."""
    length = max(len(example.tokens) for example in examples)
    tokens = torch.full((len(examples), length), ids.end)
    labels = torch.full((len(examples), length), IGNORED)
    looks = torch.zeros((len(examples), length, WINDOW * STEPS))
    for row, example in enumerate(examples):
        tokens[row, : len(example.tokens)] = torch.tensor(example.tokens)
        labels[row, : len(example.labels)] = torch.tensor(example.labels)
        for step, (start, end) in example.looks.items():
            first = min(int(start * STEPS), WINDOW * STEPS - 1)
            last = max(first + 1, round(end * STEPS))
            looks[row, step, first:last] = 1.0
    looks /= looks.sum(-1, keepdim=True).clamp(min=1.0)
    features = torch.from_numpy(np.stack([example.features for example in examples[::2]]))
    frames = torch.from_numpy(np.stack([example.frames for example in examples[::2]]))
    return Batch(features, tokens, labels, looks, frames)


def draw(mixer: Mixer, targets: Targets, windows: int) -> list[Example]:
    random = mixer.random
    # Seldom, since one long prompt makes its whole batch long.
    targets.longest_prompt = 30 if random.random() < 0.05 else 4
    examples = []
    for _ in range(windows):
        if random.random() < 0.12:
            features = mixer.silence()
            examples += [targets.of_silence(features), targets.of_silence(features)]
            continue
        single = random.random() < 0.3
        count = 1 if single else int(random.integers(2, LONGEST + 1))
        features, heard, cut = mixer.speech(count, cut=not single and random.random() < 0.2)
        examples.append(targets.of_speech(features, heard, timed=True, cut=cut))
        examples.append(targets.of_speech(features, heard, timed=cut, cut=cut))
    return examples


def losses(model: WhisperForConditionalGeneration, teller: nn.Linear, batch: Batch, weights) -> Tensor:
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
    attention = said.cross_attentions[-1][:, 0]
    looked = (batch.looks * attention.clamp(min=1e-6).log()).sum() / batch.looks.sum()
    return text, frames, -looked


def train(recipe: Recipe, mixer: Mixer, targets: Targets, ids: Ids):
    torch.manual_seed(SEED)
    model = build_model(recipe, ids).train()
    teller = nn.Linear(recipe.width, 11)
    parameters = [p for p in [*model.parameters(), *teller.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, recipe.peak_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_rate, total_steps=recipe.updates, pct_start=0.15
    )
    began = time.monotonic()
    spent = 0
    for update in range(recipe.updates):
        t = time.monotonic()
        batch = collate(draw(mixer, targets, recipe.batch), ids)
        spent += time.monotonic() - t
        text, frames, looked = losses(model, teller, batch, None)
        loss = text + recipe.frame_weight * frames + recipe.look_weight * looked
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if update % 50 == 0 or update == recipe.updates - 1:
            print(
                f"update {update}: text {text.item():.3f} frames {frames.item():.3f} "
                f"look {looked.item():.3f}, {time.monotonic() - began:.0f} s (data {spent:.0f} s)",
                flush=True,
            )
    return model.eval()
