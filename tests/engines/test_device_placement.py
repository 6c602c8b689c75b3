"""Whisper on a device of which PyTorch knows nothing but the shapes, as a stand-in for a card.

An operation with tensors of two devices fails there, and so does one whose result the host needs to
know, which no CUDA graph can capture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from speechkit.engines.asr.whisper import alignment, checkpoint
from speechkit.engines.asr.whisper.checkpoint import Checkpoint
from speechkit.engines.asr.whisper.decoder_layers import DecoderLayers
from speechkit.engines.asr.whisper.decoding_loop import DecodingLoop, _likeliest, _Windows
from speechkit.engines.asr.whisper.encoder import Encoder
from speechkit.engines.asr.whisper.step_graphs import Step
from speechkit.engines.asr.whisper.vocabulary import Vocabulary
from speechkit.engines.encoders.log_mel import LogMel
from speechkit.engines.mel_filters import HOP

CARD = torch.device("meta")
ROWS = 8


@pytest.fixture
def on_card(untrained: dict[str, Path]) -> Iterator[Checkpoint]:
    real = checkpoint.load(untrained["whisper"], torch.device("cpu"), torch.bfloat16)
    weights = {name: weight.to(CARD) for name, weight in real.weights.items()}
    with torch.inference_mode():
        yield replace(real, weights=weights)


def encoded(made: Checkpoint) -> torch.Tensor:
    frames = 2 * made.config.max_source_positions
    features = LogMel(made.config.num_mel_bins, CARD)(
        torch.empty(ROWS, frames * HOP, device=CARD), frames
    )
    hidden = Encoder(made)(features.to(torch.bfloat16))
    assert hidden.shape == (ROWS, frames // 2, made.config.d_model)
    assert hidden.device == CARD
    return hidden


def loop(made: Checkpoint) -> DecodingLoop:
    vocabulary = Vocabulary(made.tokenizer, made.generation.is_multilingual)
    return DecodingLoop(DecoderLayers(made), vocabulary, made.generation)


@pytest.mark.parametrize("stamps", [False, True], ids=["text", "timestamps"])
def test_a_step_stays_on_the_card(on_card: Checkpoint, stamps: bool) -> None:
    made = loop(on_card)
    hidden = encoded(on_card)
    prompts = torch.tensor([[1, 2, 3]] * ROWS, device=CARD)
    made._reserve(ROWS)
    rows = [(row, row) for row in range(ROWS)]
    made._begin(_Windows(hidden, prompts, [20] * ROWS, continues=False), rows, stamps, _likeliest)
    span = on_card.config.max_target_positions
    before = [(part.shape, part.dtype) for part in made._state]
    made._step(Step(ROWS, span, stamps, hidden.shape[1]))
    made._step(Step(ROWS // 2, span, stamps, hidden.shape[1]))
    assert [(part.shape, part.dtype) for part in made._state] == before
    assert {part.device for part in made._state} == {CARD}
    assert made.opening(hidden).device == CARD


def test_word_times_stay_on_the_card(on_card: Checkpoint) -> None:
    tokens = torch.ones(ROWS, 12, dtype=torch.long, device=CARD)
    heads = on_card.generation.alignment_heads
    weights, likely = DecoderLayers(on_card).aligned(tokens, encoded(on_card), heads)
    assert (weights.dtype, weights.shape[:3]) == (torch.float32, (ROWS, len(heads), 12))
    assert likely.shape == (ROWS, 11)
    frames = alignment.first_frames(
        [row.mean(0)[:at] for row, at in zip(weights, range(4, 12), strict=True)]
    )
    assert (frames.device, frames.shape) == (CARD, (ROWS, 11))


def test_the_stand_in_tells(on_card: Checkpoint) -> None:
    """Otherwise these tests would show nothing."""
    hidden = encoded(on_card)
    with pytest.raises(RuntimeError, match="meta"):
        hidden + torch.ones(hidden.shape, dtype=hidden.dtype)
    with pytest.raises(RuntimeError, match="meta"):
        hidden.sum().item()
