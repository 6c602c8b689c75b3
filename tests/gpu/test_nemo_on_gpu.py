"""Tiny models of NeMo on a card: the CPU's texts, large batches, and graphs."""

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


def engine(model: Path, device: str, **options: Any) -> Any:
    options = {"compute_type": "float32", **options}
    return registry.create("asr", "nemo", model=str(model), device=device, **options)


def heard(one: Any, waveforms: list[Any]) -> list[str]:
    return [clips[0].text for clips in one.transcribe([whole(waveform)] for waveform in waveforms)]


@pytest.fixture(scope="module")
def expected(digits_said: list[Any], nemos: dict[str, Path]) -> dict[str, list[str]]:
    """The CPU's texts."""
    return {kind: heard(engine(model, "cpu"), digits_said) for kind, model in nemos.items()}


@pytest.mark.parametrize("kind", ["ctc", "rnnt"])
def test_texts_are_those_of_the_cpu(
    kind: str, digits_said: list[Any], nemos: dict[str, Path], expected: dict[str, list[str]]
) -> None:
    assert heard(engine(nemos[kind], DEVICE), digits_said) == expected[kind]
    assert len(set(expected[kind])) >= 10
    lowered = heard(engine(nemos[kind], DEVICE, compute_type="bfloat16"), digits_said)
    same = sum(one == other for one, other in zip(lowered, expected[kind], strict=True))
    assert same >= 0.96 * len(digits_said)


def test_short_windows_go_hundreds_at_a_time(
    digits_said: list[Any], nemos: dict[str, Path], expected: dict[str, list[str]]
) -> None:
    """And the seconds of the parts are nearly all of the work."""
    many = engine(nemos["ctc"], DEVICE)
    heard(many, digits_said)  # sets up cuDNN
    before = many.device_use()
    times = 400 // len(digits_said) + 1
    assert heard(many, digits_said * times) == expected["ctc"] * times
    use = many.device_use()
    assert use.batch_size >= 300
    assert set(use.parts) == {"features", "encoder", "decoder"}
    worked = sum(use.parts.values()) - sum(before.parts.values())
    assert worked == pytest.approx(use.seconds - before.seconds, rel=0.2)


def test_a_transducers_graph_is_captured_once(
    digits_said: list[Any], nemos: dict[str, Path], expected: dict[str, list[str]]
) -> None:
    graphs = engine(nemos["rnnt"], DEVICE)
    assert heard(graphs, digits_said[:2]) == expected["rnnt"][:2]
    computer = graphs._model.decoding.decoding.decoding_computer
    assert computer.cuda_graphs_mode is not None
    captured = computer.state
    assert heard(graphs, digits_said) == expected["rnnt"]
    assert computer.state is captured
    plain = engine(nemos["rnnt"], DEVICE, cuda_graphs=False)
    assert heard(plain, digits_said) == expected["rnnt"]
    assert plain._model.decoding.decoding.decoding_computer.cuda_graphs_mode is None


@pytest.mark.parametrize(("fits", "rows"), [(40, 32), (0, 128)])
def test_a_graph_for_which_memory_runs_out(
    fits: int,
    rows: int,
    digits_said: list[Any],
    nemos: dict[str, Path],
    expected: dict[str, list[str]],
) -> None:
    """One of fewer windows, or none, takes its place."""
    crowded = engine(nemos["rnnt"], DEVICE)
    crowded._recognise._rows = 128
    decoding = crowded._model.decoding
    decode = decoding.rnnt_decoder_predictions_tensor

    def full(encoded: Any, lengths: Any, **options: Any) -> Any:
        found = decode(encoded, lengths, **options)
        if len(encoded) > fits and (lengths == 1).all():
            raise RuntimeError("CUDA out of memory")
        return found

    decoding.rnnt_decoder_predictions_tensor = full
    assert heard(crowded, digits_said) == expected["rnnt"]
    assert crowded._recognise._rows == rows
    assert (decoding.decoding.decoding_computer.cuda_graphs_mode is None) == (fits == 0)
