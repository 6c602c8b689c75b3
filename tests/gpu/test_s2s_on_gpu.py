"""HuBERT and a vocoder on a card: the CPU's features, units and speech, alone and in batches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpukit import DEVICE

from speechkit.engines import registry

pytestmark = pytest.mark.gpu

CLOSE = 2e-3  # of features and samples whose numbers are about 1; seen on an H200: 1.05e-3
SPOKEN = 1e-3  # of samples
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


@pytest.mark.parametrize(
    ("kind", "options", "predict"),
    [("vocoder", {}, False), ("vocoder-multi", {"speaker": 2}, True)],
)
def test_speech_is_that_of_the_cpu(
    kind: str, options: dict[str, int], predict: bool, tiny_s2s: Path, waveforms: list[Any]
) -> None:
    """Alone and in batches."""
    encoder = {"model": str(tiny_s2s / "hubert-dict.pt"), "layer": 2}
    encoder["quantizer"] = str(tiny_s2s / "km.npz")
    units = engine(**encoder, device="cpu").encode(waveforms[:COUNT])
    options = {"vocoder": str(tiny_s2s / kind / "g.pt"), **options}
    on_cpu, alone, together = (
        engine(**options, **other) for other in ({"device": "cpu"}, {"batch_size": 1}, {})
    )
    expected = list(on_cpu.synthesise(units, predict=predict))
    for made in (alone, together):
        for ours, theirs in zip(made.synthesise(units, predict=predict), expected, strict=True):
            assert len(ours) == len(theirs) > 0
            assert np.abs(ours - theirs).max() < SPOKEN
    assert together.device_use().batch_size > 1
    assert together.device_use().parts["vocoder"] > 0


def test_parts_of_the_work_add_up(tiny_s2s: Path, waveforms: list[Any]) -> None:
    """A part has the time of what the card computes for it."""
    encoder = {"model": str(tiny_s2s / "hubert-dict.pt"), "layer": 2}
    made = engine(**encoder, quantizer=str(tiny_s2s / "km.npz"))
    began = time.monotonic()
    made.encode(waveforms)
    passed = time.monotonic() - began
    use = made.device_use()
    assert set(use.parts) == {"encoder", "quantizer"}
    assert use.parts["quantizer"] < use.parts["encoder"] < passed
    assert use.seconds == sum(use.parts.values()) < passed
