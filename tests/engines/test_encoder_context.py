"""A fine-tune with a short encoder context: clips up to it in windows of just that length."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE, Clip
from speechkit.io import audio
from speechkit.records import Hypothesis

ENGINES = ["whisper", "faster-whisper"]
CONTEXT = 1.0
POSITIONS = 50  # of the encoder, in that time
USUAL = {"whisper": 1000, "faster-whisper": 750}  # of a window on a CPU, without a context


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def short(
    engine: str, english_whispers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    folder = tmp_path_factory.mktemp(engine)
    for file in english_whispers[engine].iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config | {"encoder_context": CONTEXT}))
    return registry.create(
        "asr", engine, model=str(folder), device="cpu", compute_type="float32", temperature=(0.0,)
    )


@pytest.fixture(scope="module")
def clips(data: Path) -> list[Clip]:
    """A digit, and the beginning of a sentence: a sample more than the context, and just that."""
    paths = data / "digits" / "0_george_0.wav", data / "librispeech" / "1688-142285-0000.flac"
    digit, speech = (audio.load(str(path), sample_rate=SAMPLE_RATE).waveform for path in paths)
    most = round(CONTEXT * SAMPLE_RATE)
    return [Clip(one, CONTEXT) for one in (digit, speech[: most + 1], speech[:most])]


@pytest.fixture
def encoded(short: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Windows and positions of each batch that is encoded."""
    shapes: list[tuple[int, int]] = []
    backend = short._backend
    encode = backend.encode

    def noted(*given: Any) -> Any:
        states = encode(*given)
        batches = states if isinstance(states, list) else [states]
        shapes.extend((batch.shape[0], batch.shape[1]) for batch in batches)
        return states

    monkeypatch.setattr(backend, "encode", noted)
    return shapes


def heard(whisper: Any, clips: Sequence[Clip]) -> Iterator[Hypothesis]:
    for (hypothesis,) in whisper.transcribe([clip] for clip in clips):
        yield hypothesis


def test_a_clip_up_to_the_context_has_a_window_of_that_length_and_a_longer_one_the_usual(
    engine: str,
    short: Any,
    clips: list[Clip],
    encoded: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = list(heard(short, clips))
    assert encoded == [(1, USUAL[engine]), (2, POSITIONS)]
    encoded.clear()
    assert list(heard(short, clips[:1])) == together[:1]
    monkeypatch.setattr(short._backend, "context", 0.0)  # as of a model that states none
    assert list(heard(short, clips[1:2])) == together[1:2]
    assert encoded == [(1, POSITIONS), (1, USUAL[engine])]
    for clip, hypothesis in zip(clips, together, strict=True):
        words = [word for segment in hypothesis.segments for word in segment.words]
        assert words
        for word in words:
            assert 0 <= word.start <= clip.seconds


def test_live_audio_has_such_windows_as_well(
    engine: str, short: Any, clips: list[Clip], encoded: list[tuple[int, int]]
) -> None:
    for clip in clips:
        assert short.live().hear(clip, (), ended=False).words
    assert encoded == [(1, POSITIONS), (1, USUAL[engine]), (1, POSITIONS)]
