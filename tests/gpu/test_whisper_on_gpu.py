"""Whisper base on a card: the CPU's texts in float32, alone and in batches; as good in halves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jiwer
import pytest
from gpukit import DEVICE, Spoken
from whisper_normalizer.english import EnglishTextNormalizer

from audiokit import whole
from speechkit.engines import registry

pytestmark = pytest.mark.gpu

REFERENCE = 24  # utterances that the CPU hears, too


def heard(base: Path, waveforms: Sequence[Any], **options: Any) -> list[str]:
    engine = registry.create(
        "asr", "whisper", **{"model": str(base), "language": "en", "device": DEVICE, **options}
    )
    found = engine.transcribe([whole(one)] for one in waveforms)
    return [" ".join(part.text for one in clips for part in one.segments) for clips in found]


@pytest.fixture(scope="module")
def in_floats(base: Path, waveforms: list[Any]) -> list[str]:
    return heard(base, waveforms, compute_type="float32", batch_size=8)


def test_texts_are_those_of_the_cpu(base: Path, waveforms: list[Any], in_floats: list[str]) -> None:
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        expected = heard(base, waveforms[:REFERENCE], device="cpu", compute_type="float32")
    finally:
        torch.set_num_threads(usual)
    assert in_floats[:REFERENCE] == expected


@pytest.mark.parametrize("size", [1, 24, 64])
def test_the_batch_changes_no_text(
    size: int, base: Path, waveforms: list[Any], in_floats: list[str]
) -> None:
    assert heard(base, waveforms, compute_type="float32", batch_size=size) == in_floats


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_the_precision_is_as_good(
    precision: str,
    base: Path,
    waveforms: list[Any],
    spoken: list[Spoken],
    in_floats: list[str],
) -> None:
    normal = EnglishTextNormalizer()
    truth = [normal(one.text) for one in spoken]
    halved = heard(base, waveforms, compute_type=precision)
    rates = [jiwer.wer(truth, list(map(normal, texts))) for texts in (in_floats, halved)]
    assert rates[0] < 0.2
    assert rates[1] <= rates[0] + 0.002, rates
