"""HuBERT and a vocoder on a card: the CPU's features, units and speech, alone and in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpukit import DEVICE

from speechkit.engines import registry

pytestmark = pytest.mark.gpu

CLOSE = 2e-3  # of features and samples whose numbers are about 1; seen on an H200: 1.05e-3
COUNT = 20


def engine(**options: Any) -> Any:
    return registry.create("s2s", "transformers", **{"device": DEVICE, **options})


@pytest.mark.parametrize("model", ["hubert-dict.pt", "hubert-folder"])
def test_features_and_units_are_those_of_the_cpu(
    model: str, tiny_s2s: Path, waveforms: list[Any]
) -> None:
    options = {"model": str(tiny_s2s / model), "layer": 2, "quantizer": str(tiny_s2s / "km.npz")}
    on_cpu = engine(**options, device="cpu")
    speech = waveforms[:COUNT]
    expected, units = on_cpu.features(speech), on_cpu.encode(speech)
    for size in (1, 8):
        on_card = engine(**options, batch_size=size)
        for ours, theirs in zip(on_card.features(speech), expected, strict=True):
            assert np.abs(ours - theirs).max() < CLOSE
        assert on_card.encode(speech) == units


def test_speech_is_that_of_the_cpu(tiny_s2s: Path, waveforms: list[Any]) -> None:
    encoder = {"model": str(tiny_s2s / "hubert-dict.pt"), "layer": 2}
    encoder["quantizer"] = str(tiny_s2s / "km.npz")
    spoken = engine(**encoder, device="cpu").encode(waveforms[:4])
    vocoder = {"vocoder": str(tiny_s2s / "vocoder" / "g.pt")}
    on_cpu, on_card = engine(**vocoder, device="cpu"), engine(**vocoder)
    for units in spoken:
        ours, theirs = (one.synthesise(units, predict=False) for one in (on_card, on_cpu))
        assert len(ours) == len(theirs) > 0
        assert np.abs(ours - theirs).max() < CLOSE
