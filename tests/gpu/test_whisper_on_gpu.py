"""Whisper base on a card: the CPU's texts in float32, alone and in batches; as good in halves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jiwer
import pytest
from gpukit import DEVICE, Spoken
from whisper_normalizer.english import EnglishTextNormalizer

from audiokit import whole
from speechkit.engines import registry
from speechkit.engines.asr.whisper.backend import Search

pytestmark = pytest.mark.gpu

REFERENCE = 24  # utterances that the CPU hears, too
ROWS = 8
CONTEXT = "He hoped there would be stew for dinner, turnips and carrots. " * 4


def heard(base: Path, waveforms: Sequence[Any], **options: Any) -> list[str]:
    engine = registry.create(
        "asr", "whisper", **{"model": str(base), "language": "en", "device": DEVICE, **options}
    )
    found = engine.transcribe([whole(one)] for one in waveforms)
    return [" ".join(part.text for one in clips for part in one.segments) for clips in found]


@pytest.fixture(scope="module")
def in_floats(base: Path, waveforms: list[Any]) -> list[str]:
    return heard(base, waveforms, compute_type="float32", batch_size=8)


def test_texts_are_those_of_the_cpu(
    base: Path, waveforms: list[Any], in_floats: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its windows as long as those of the card."""
    import torch

    from speechkit.engines.asr.whisper import engine

    monkeypatch.setattr(engine, "CPU_WINDOW", 1500)
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


@pytest.mark.parametrize(
    "options",
    [{"timestamps": False}, {"timestamps": True}, {"initial_prompt": CONTEXT}],
    ids=["text", "timestamps", "context"],
)
def test_captured_steps_decode_what_called_ones_do(
    options: dict[str, Any], base: Path, waveforms: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a third as many rows as there are windows."""
    whisper: Any = registry.create(
        *("asr", "whisper"),
        **{"model": str(base), "language": "en", "device": DEVICE, "compute_type": "float32"},
        **options,
    )
    backend, loop = whisper._backend, whisper._backend._loop
    encoded = backend.encode(
        backend.features([whisper._chunk(whole(one)) for one in waveforms[: 3 * ROWS]]), ROWS
    )
    given = encoded, [whisper._prompt("en")] * len(encoded), Search(), [60] * len(encoded), ROWS
    loop.free()  # and the graphs of other tests, which have had this backend
    captured = loop.decode(*given)
    spans = {step.span for step in loop._graphs._graphs}
    assert (min(spans) > 64) == ("initial_prompt" in options)
    monkeypatch.setattr(loop, "_graphs", None)
    called = loop.decode(*given)
    assert [one.tokens for one in captured] == [one.tokens for one in called]
    for one, other in zip(captured, called, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
        assert one.no_speech == pytest.approx(other.no_speech, abs=1e-5)


def test_windows_of_a_short_context_are_decoded_between_long_ones(
    base: Path, waveforms: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By captured steps of their own, on the same caches."""
    for file in base.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((base / "config.json").read_text()) | {"encoder_context": 4.0}
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    options = {"language": "en", "device": DEVICE, "compute_type": "float32", "batch_size": ROWS}
    whisper: Any = registry.create("asr", "whisper", model=str(tmp_path), **options)
    backend, loop = whisper._backend, whisper._backend._loop
    long, short = waveforms[:ROWS], [one[:60_000] for one in waveforms[:ROWS]]
    drafts = []
    for clips in (long, short, long, short):
        encoded = backend.encode(
            backend.features([whisper._chunk(whole(one)) for one in clips]), ROWS
        )
        given = encoded, [whisper._prompt("en")] * ROWS, Search(), [20] * ROWS, ROWS
        drafts.append([one.tokens for one in loop.decode(*given)])
    assert {step.frames for step in loop._graphs._graphs} == {1500, 200}
    assert drafts[:2] == drafts[2:]
    monkeypatch.setattr(loop, "_graphs", None)
    assert [one.tokens for one in loop.decode(*given)] == drafts[1]


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
