"""Both VAD engines on real speech: against their origins, and alone against in company."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speechkit.engines.protocols import SAMPLE_RATE, VadEngine
from speechkit.engines.vad.silero.engine import SileroVad
from speechkit.engines.vad.ten import engine as ten
from speechkit.engines.vad.ten.engine import TenVad
from speechkit.errors import EngineMissing
from speechkit.io import audio
from speechkit.stages.vad.segmentation import DEFAULTS, speech_segments

ROOT = Path(__file__).resolve().parents[2]
Waveform = NDArray[np.float32]


@pytest.fixture(scope="module")
def speech() -> list[Waveform]:
    files = sorted((ROOT / "examples" / "speech").rglob("*.flac"))
    assert len(files) >= 10
    return [audio.load(str(file), sample_rate=SAMPLE_RATE).waveform for file in files]


@pytest.fixture(params=[TenVad, SileroVad])
def engine(request: pytest.FixtureRequest) -> VadEngine:
    built: VadEngine = request.param()
    return built


def test_every_length_gives_its_frames(engine: VadEngine, speech: list[Waveform]) -> None:
    hop = round(engine.hop * SAMPLE_RATE)
    lengths = [0, 1, hop - 1, hop, hop + 1, 2 * hop, 3 * hop + 7, 10 * hop]
    found = engine.probabilities([speech[0][:length] for length in lengths])
    assert [len(answer) for answer in found] == [-(-length // hop) for length in lengths]
    assert all(answer.dtype == np.float32 for answer in found)
    assert all(((answer >= 0) & (answer <= 1)).all() for answer in found)


def test_no_waveforms_no_answers(engine: VadEngine) -> None:
    assert engine.probabilities([]) == []


def test_company_and_order_never_change_a_bit(engine: VadEngine, speech: list[Waveform]) -> None:
    random = np.random.default_rng(7)
    everything = np.concatenate(speech)
    streams = [everything]
    for longest in [600] * 10 + [8_000] * 20 + [60_000] * 10:
        length = int(random.integers(0, longest))
        start = int(random.integers(0, len(everything) - length))
        streams.append(everything[start : start + length])
    alone = [type(engine)().probabilities([stream])[0] for stream in streams]
    for count in [1, 2, 3, 5, 8, 13, 21, 34, 41]:
        chosen = random.permutation(len(streams))[:count]
        together = engine.probabilities([streams[i] for i in chosen])
        for i, answer in zip(chosen, together, strict=True):
            assert np.array_equal(answer, alone[i])


def test_silero_answers_several_threads_at_once(speech: list[Waveform]) -> None:
    silero = SileroVad()
    words = [speech[0][start : start + 30_000] for start in range(0, 16_000, 1000)]
    expected = [silero.probabilities([word])[0] for word in words]
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda word: silero.probabilities([word])[0], words)
        assert all(map(np.array_equal, found, expected))


def test_more_streams_than_fit_in_one_call(speech: list[Waveform]) -> None:
    silero = SileroVad()
    words = [speech[0][start : start + 4000] for start in range(0, 15_000, 50)]
    together = silero.probabilities(words)
    for i in (0, 127, 128, 299):
        assert np.array_equal(together[i], silero.probabilities([words[i]])[0])


def test_speech_is_found_where_it_was_put(engine: VadEngine, speech: list[Waveform]) -> None:
    """Silence around an utterance stays silence; onset and offset lie within a frame and a pad."""
    voice = speech[0]
    loud = np.flatnonzero(np.abs(voice) > 0.05 * np.abs(voice).max())
    voice = voice[loud[0] : loud[-1] + 1]
    noise = np.random.default_rng(3).normal(0, 0.0005, 2 * SAMPLE_RATE + len(voice))
    noise[SAMPLE_RATE : SAMPLE_RATE + len(voice)] += voice
    probabilities = engine.probabilities([noise.astype(np.float32)])[0]
    name = "ten" if isinstance(engine, TenVad) else "silero"
    found = speech_segments(probabilities, engine.hop, len(noise) / SAMPLE_RATE, DEFAULTS[name])
    assert found[0][0] == pytest.approx(1.0, abs=0.12)
    assert found[-1][1] == pytest.approx(1 + len(voice) / SAMPLE_RATE, abs=0.12)
    assert sum(end - start for start, end in found) > 0.7 * len(voice) / SAMPLE_RATE


def test_ten_answers_as_its_own_wrapper_does(speech: list[Waveform]) -> None:
    from ten_vad import TenVad as Wrapper

    for waveform in speech[:3]:
        wrapper = Wrapper(ten.HOP)
        samples = ten.to_int16(waveform)
        samples = np.pad(samples, (0, -len(samples) % ten.HOP))
        theirs = [wrapper.process(frame)[0] for frame in samples.reshape(-1, ten.HOP)]
        ours = TenVad().probabilities([waveform])[0]
        assert np.array_equal(ours[: -ten.FRAMES_LATE], np.float32(theirs[ten.FRAMES_LATE :]))
        assert (ours[-ten.FRAMES_LATE :] == np.float32(theirs[-1])).all()


def test_int16_audio_comes_back_exactly() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(ten.to_int16(samples.astype(np.float32) / 32768), samples)
    assert ten.to_int16(np.float32([1.5, 1.0, -1.5])).tolist() == [32767, 32767, -32768]


def test_silero_computes_the_original_graph(speech: list[Waveform]) -> None:
    """Window by window, warm-up included, from a state of zeros."""
    from faster_whisper.vad import get_vad_model

    zeros = np.zeros((1, 1, 128), np.float32)
    for waveform in speech[:3]:
        mirrored = waveform[1 : 1 + 2 * 512 + 64][::-1]
        padded = np.concatenate((mirrored, np.pad(waveform, (0, -len(waveform) % 512))))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 576)[::512]
        inputs = {"input": windows.copy(), "h": zeros, "c": zeros}
        theirs = get_vad_model().session.run(None, inputs)[0].ravel()
        ours = SileroVad().probabilities([waveform])[0]
        assert np.abs(ours[:-1] - theirs[3:]).max() < 1e-4
        assert ours[-1] == ours[-2]


def test_silero_hears_a_word_that_begins_with_the_waveform(speech: list[Waveform]) -> None:
    words = []
    for waveform in speech:
        loud = np.flatnonzero(np.abs(waveform) > 0.1 * np.abs(waveform).max())
        words.append(waveform[loud[0] : loud[0] + 6400])
    found = SileroVad().probabilities(words)
    assert sum(answer.max() >= DEFAULTS["silero"].threshold for answer in found) >= len(words) - 1


def test_ten_without_libcxx_names_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError("libc++.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ten.ctypes, "CDLL", refuse)
    with pytest.raises(EngineMissing) as caught:
        TenVad()
    for part in ("apt-get install libc++1", "conda-forge libcxx", "--engine silero"):
        assert part in str(caught.value)


@pytest.mark.parametrize("engine_class", [TenVad, SileroVad])
def test_a_missing_package_names_its_command(
    engine_class: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineMissing, match=r"pip install (ten-vad|faster-whisper)"):
        engine_class()
