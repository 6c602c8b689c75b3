"""faster-whisper on a CPU: windows as long as their clips, and each decoded as if it were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechkit.engines.protocols import SAMPLE_RATE, Clip
from speechkit.io import audio
from speechkit.records import Hypothesis

pytest.importorskip("faster_whisper")

from speechkit.engines.asr.faster_whisper import engine
from speechkit.engines.asr.whisper.backend import Draft, Search
from speechkit.engines.asr.whisper.options import WhisperOptions

SECONDS = (1.6, 0.4, 1.0, 0.5, 1.2, 0.45, 0.9, 1.7, 0.42, 0.48)


@pytest.fixture
def clips(examples: Path) -> list[Clip]:
    speech = audio.load(examples / "slt" / "story.flac", sample_rate=SAMPLE_RATE).waveform
    return [
        Clip(speech[at * 4000 : at * 4000 + round(seconds * SAMPLE_RATE)], seconds)
        for at, seconds in enumerate(SECONDS)
    ]


@pytest.fixture
def tenths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows as fine for the model's two seconds as they are for twenty."""
    for name, seconds in {"CPU_SHORTEST": 0.8, "CPU_STEP": 0.4, "CPU_TAIL": 0.1}.items():
        monkeypatch.setattr(engine, name, seconds)


def test_windows_of_all_lengths_in_a_call_are_heard_as_each_alone(
    untrained: dict[str, Path],
    clips: list[Clip],
    tenths: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model has learnt nothing, and says of each clip something else."""
    options = WhisperOptions(
        model=str(untrained["faster-whisper"]), device="cpu", language="en", temperature=(0.0,)
    )
    backend = engine.CTranslate2Backend(options)
    features = backend.features([clip.waveform for clip in clips])
    assert [one.shape[1] for one in features] == [200, 80, 120, 80, 160, 80, 120, 200, 80, 80]

    whisper = engine.Whisper(backend, options)
    alone = [hypotheses for clip in clips for hypotheses in whisper.transcribe([[clip]])]
    assert len({str(hypotheses) for hypotheses in alone}) == len(clips)
    shapes = encoded_shapes(backend, monkeypatch)
    together = list(whisper.transcribe([clip] for clip in clips))
    assert shapes == [(2, 100), (1, 80), (2, 60), (4, 40), (1, 40)]
    for (one,), (other,) in zip(together, alone, strict=True):
        assert [one.text, *times(one)] == [other.text, *times(other)]


def test_the_longer_window_is_that_of_the_checkpoint(
    untrained: dict[str, Path], clips: list[Clip], tenths: None
) -> None:
    options = WhisperOptions(model=str(untrained["faster-whisper"]), device="cpu", language="en")
    backend = engine.CTranslate2Backend(options)
    longer = [backend.longer_window(clip.waveform) for clip in clips]
    assert [one and one[0].shape[1] for one in longer] == [
        200 if s < 1.4 else None for s in SECONDS
    ]
    (features,) = backend.features([clips[1].waveform])
    (long,) = longer[1] or []
    np.testing.assert_allclose(long[:, :38], features[:, :38], atol=0.02)
    backend.context = 0.7
    assert backend.longer_window(clips[1].waveform) is None


def test_a_draft_beside_one_with_a_higher_limit_is_the_same(
    untrained: dict[str, Path], clips: list[Clip]
) -> None:
    """The model goes on to any limit."""
    options = WhisperOptions(model=str(untrained["faster-whisper"]), device="cpu", language="en")
    backend = engine.CTranslate2Backend(options)
    prompt = [*backend.vocabulary.start("en", "transcribe"), backend.vocabulary.no_timestamps]
    features = backend.features([clip.waveform for clip in clips[:2]])

    def drafts(windows: slice, limits: list[int]) -> list[Draft]:
        encoded = backend.encode(features[windows], 2)
        return backend.decode(encoded, [prompt] * len(limits), Search(), limits, 2)

    together = drafts(slice(2), [3, 20])
    assert [len(one.tokens) for one in together] == [3, 20]
    for one, other in zip(together, drafts(slice(1), [3]) + drafts(slice(1, 2), [20]), strict=True):
        assert one.tokens == other.tokens
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)


def encoded_shapes(backend: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Windows and positions of each batch encoded from now on."""
    shapes: list[tuple[int, int]] = []
    encode = backend.encode

    def noted(*given: Any) -> Any:
        batches = encode(*given)
        shapes.extend((batch.shape[0], batch.shape[1]) for batch in batches)
        return batches

    monkeypatch.setattr(backend, "encode", noted)
    return shapes


def times(hypothesis: Hypothesis) -> list[float]:
    return [word.start for segment in hypothesis.segments for word in segment.words]
