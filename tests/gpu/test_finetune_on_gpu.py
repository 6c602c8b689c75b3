"""Whisper base in training on a card: the CPU's loss, its own largest batch, the state restored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from gpukit import DEVICE, Spoken
from tokenizers import Tokenizer

from speechkit.engines.finetune.protocol import LoraOptions, TrainerOptions, TrainingExample
from speechkit.engines.finetune.ranks import Ranks

pytestmark = pytest.mark.gpu

ALONE = True  # the largest batch takes what memory there is


@pytest.fixture(scope="module")
def examples(base: Path, spoken: list[Spoken], waveforms: list[Any]) -> list[TrainingExample]:
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    start = ("<|en|>", "<|transcribe|>", "<|notimestamps|>")
    before = [tokenizer.token_to_id(token) for token in start]
    end = tokenizer.token_to_id("<|endoftext|>")
    return [
        TrainingExample(
            waveform=waveform,
            tokens=(*before, *tokenizer.encode(f" {one.text}", add_special_tokens=False).ids, end),
            seed=number,
        )
        for number, (one, waveform) in enumerate(zip(spoken, waveforms, strict=True))
        if len(waveform) <= 16_000 * 30
    ]


def trainer(base: Path, **options: Any) -> Any:
    from speechkit.engines.finetune.whisper.trainer import WhisperTrainer

    return WhisperTrainer(TrainerOptions(model=base, **{"device": DEVICE, **options}), Ranks())


def losses(one: Any, examples: Sequence[TrainingExample], steps: int = 4) -> list[float]:
    results = [one.step(examples, 1e-5, number) for number in range(steps)]
    assert not any(result.skipped for result in results)
    return [result.loss for result in results]


def test_the_loss_is_that_of_the_cpu(base: Path, examples: list[TrainingExample]) -> None:
    """In each precision, with checkpointing and without."""
    few = examples[:4]
    (expected,) = losses(trainer(base, device="cpu", batch_size=2), few, steps=1)
    for precision, near in (("float32", 2e-3), ("bfloat16", 0.02), ("float16", 0.02)):
        for checkpointing in (False, True):
            one = trainer(
                base, compute_type=precision, gradient_checkpointing=checkpointing, batch_size=2
            )
            found = losses(one, few)
            assert found[0] == pytest.approx(expected, rel=near)
            assert found[-1] < found[0]


def test_the_largest_batch_fits(base: Path, examples: list[TrainingExample]) -> None:
    one = trainer(base, lora=LoraOptions(rank=8, alpha=16.0))
    one.fit_batch(max(examples, key=lambda example: len(example.tokens)))
    assert one.batch_size >= 16
    fitted = one.batch_size
    losses(one, (examples * 3)[: 2 * fitted], steps=2)
    assert one.batch_size == fitted  # nothing had to be halved


def test_a_restored_training_goes_on_alike(
    base: Path, examples: list[TrainingExample], tmp_path: Path
) -> None:
    one = trainer(base, compute_type="float16", context=15.0)
    few = [example for example in examples if len(example.waveform) <= 16_000 * 15][:8]
    losses(one, few, steps=2)
    one.save_state(tmp_path)
    expected = one.step(few, 1e-5, 2)
    other = trainer(base, compute_type="float16", context=15.0)
    other.restore(tmp_path)
    found = other.step(few, 1e-5, 2)
    assert (found.loss, found.norm) == pytest.approx((expected.loss, expected.norm), rel=1e-3)
    assert found.scale == expected.scale
