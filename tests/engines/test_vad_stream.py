"""VAD of a stream: the bits of the whole waveform, soon, and in little memory."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speechkit.engines import registry
from speechkit.engines.protocols import SAMPLE_RATE, VadEngine
from speechkit.engines.vad.silero import engine as silero
from speechkit.io import audio
from speechkit.serving.stream.speech_gate import SpeechGate
from speechkit.stages.vad.segmentation import DEFAULTS, speech_segments
from speechkit.stages.vad.speech_frames import raised_so_far

ROOT = Path(__file__).resolve().parents[2]
Waveform = NDArray[np.float32]
ENGINES: dict[str, VadEngine] = {}
both_engines = pytest.mark.parametrize("name", DEFAULTS)


def engine(name: str) -> VadEngine:
    if name not in ENGINES:
        ENGINES[name] = registry.create("vad", name)
    return ENGINES[name]


@pytest.fixture(scope="module")
def speech() -> Waveform:
    """Four seconds, which begin in the middle of a word."""
    file = sorted((ROOT / "examples" / "speech").rglob("*.flac"))[0]
    return audio.load(str(file), sample_rate=SAMPLE_RATE).waveform[8000:][: 4 * SAMPLE_RATE]


def in_pieces(name: str, waveform: Waveform, sizes: list[int]) -> Waveform:
    """The frames of a stream that comes in pieces of these sizes, the rest at once."""
    stream = engine(name).stream()
    pieces = np.split(waveform, np.cumsum(sizes)) if sizes else [waveform]
    return np.concatenate([*map(stream.feed, pieces), stream.finish()])


@both_engines
@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(0, 20_000),
    sizes=st.lists(st.one_of(st.integers(0, 3), st.integers(0, 6000)), max_size=30),
)
def test_cuts_never_change_a_bit(
    name: str, speech: Waveform, length: int, sizes: list[int]
) -> None:
    waveform = speech[:length]
    (whole,) = engine(name).probabilities([waveform])
    assert np.array_equal(in_pieces(name, waveform, sizes), whole)


@both_engines
@pytest.mark.parametrize("size", [1, 511, 8000])
def test_equal_pieces(name: str, speech: Waveform, size: int) -> None:
    waveform = speech[: 3000 if size == 1 else None]
    (whole,) = engine(name).probabilities([waveform])
    found = in_pieces(name, waveform, [size] * (len(waveform) // size))
    assert np.array_equal(found, whole)


@both_engines
def test_a_waveform_shorter_than_a_frame(name: str, speech: Waveform) -> None:
    for length in range(12):
        (whole,) = engine(name).probabilities([speech[:length]])
        assert np.array_equal(in_pieces(name, speech[:length], [1] * length), whole)


def test_silero_computes_no_odd_rest(speech: Waveform, monkeypatch: pytest.MonkeyPatch) -> None:
    """On some CPUs the rest of a vector has other bits."""
    sizes: list[int] = []
    hear = silero._Memory.hear

    def observed(memory: silero._Memory, waveform: Waveform) -> Waveform:
        answers = hear(memory, waveform)
        sizes.append(answers.size)
        return answers

    monkeypatch.setattr(silero._Memory, "hear", observed)
    in_pieces("silero", speech, [511] * 10 + [3000] * 10)
    assert len(sizes) > 20
    assert all(size % silero.STEP == 0 for size in sizes)


@both_engines
def test_a_frame_is_known_32_ms_after_its_end(name: str, speech: Waveform) -> None:
    vad = engine(name)
    stream = vad.stream()
    known = 0
    for end in range(16, SAMPLE_RATE, 16):
        known += len(stream.feed(speech[end - 16 : end]))
        due = int((end / SAMPLE_RATE - 0.032) / vad.hop + 1e-6)
        assert known == due or end / SAMPLE_RATE < 0.07


@both_engines
def test_streams_side_by_side_know_nothing_of_each_other(name: str, speech: Waveform) -> None:
    one, other = engine(name).stream(), engine(name).stream()
    frames: tuple[list[Waveform], list[Waveform]] = ([], [])
    for start in range(0, len(speech), 4000):
        frames[0].append(one.feed(speech[start : start + 4000]))
        frames[1].append(other.feed(-0.1 * speech[start : start + 3000]))
    (whole,) = engine(name).probabilities([speech])
    assert np.array_equal(np.concatenate([*frames[0], one.finish()]), whole)


@pytest.mark.parametrize("finish", [True, False])
def test_the_memory_of_ten_streams_is_freed(finish: bool, speech: Waveform) -> None:
    """By `finish`, whoever holds the stream, and with the stream, finished or not."""
    process = psutil.Process()

    def grown(count: int) -> int:
        before = process.memory_info().rss
        kept = []
        for _ in range(count):
            stream = engine("ten").stream()
            stream.feed(speech[:1000])
            if finish:
                stream.finish()
                kept.append(stream)
        del stream
        gc.collect()
        return process.memory_info().rss - before

    grown(10)
    assert grown(100) < 5_000_000  # half a megabyte each


@both_engines
def test_memory_is_flat(name: str, speech: Waveform) -> None:
    process = psutil.Process()
    stream = engine(name).stream()
    for _ in range(3):
        stream.feed(speech)
    before = process.memory_info().rss
    for _ in range(10):
        stream.feed(speech)
    assert process.memory_info().rss - before < 1_000_000


@both_engines
def test_the_gate_finds_what_the_stage_finds(name: str, speech: Waveform) -> None:
    vad = engine(name)
    quiet = speech * np.float32(0.03)
    gate = SpeechGate(vad, DEFAULTS[name])
    for start in range(0, len(quiet), 1237):
        gate.feed(quiet[start : start + 1237])
    gate.finish()
    (frames,) = vad.probabilities([raised_so_far(quiet, 0.0)[0]])
    expected = speech_segments(frames, vad.hop, len(quiet) / SAMPLE_RATE, DEFAULTS[name])
    assert gate.speech() == expected
    assert expected
