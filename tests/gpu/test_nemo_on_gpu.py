"""Tiny models of NeMo on a card: the CPU's texts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from gpukit import DEVICE

from audiokit import whole
from speechkit.engines import registry
from speechkit.io import audio

pytestmark = pytest.mark.gpu

TAKES = (0, 1)  # that no model was trained on


@pytest.fixture(scope="module")
def digits_said(data: Path) -> list[Any]:
    if find_spec("nemo") is None:
        pytest.skip("no NeMo")
    paths = [path for take in TAKES for path in sorted((data / "digits").glob(f"*_{take}.wav"))]
    return [audio.load(str(path), sample_rate=16_000).waveform for path in paths]


def heard(model: Path, waveforms: list[Any], device: str) -> list[str]:
    engine = registry.create(
        *("asr", "nemo"), model=str(model), device=device, compute_type="float32"
    )
    found = engine.transcribe([whole(one)] for one in waveforms)
    return [" ".join(part.text for one in clips for part in one.segments) for clips in found]


@pytest.mark.parametrize("kind", ["ctc", "rnnt"])
def test_texts_are_those_of_the_cpu(
    kind: str, digits_said: list[Any], nemos: dict[str, Path]
) -> None:
    expected = heard(nemos[kind], digits_said, "cpu")
    assert heard(nemos[kind], digits_said, DEVICE) == expected
    assert len(set(expected)) >= 10
