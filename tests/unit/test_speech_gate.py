"""The gate of streams: what it says at the end, what it says before, and what it forgets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speechkit.engines.protocols import SAMPLE_RATE, VadEngine, VadStream
from speechkit.serving.stream.speech_gate import SpeechGate
from speechkit.stages.asr.windows import Span
from speechkit.stages.vad.segmentation import DEFAULTS, SegmentationOptions, speech_segments
from speechkit.stages.vad.speech_frames import MOST_STREAM_GAIN, STREAM_PEAK, raised_so_far

HOP = 256
LATE = 2  # frames
Array = NDArray[np.float32]


class LoudnessVad(VadEngine):
    """The probability of a frame is the value of its first sample."""

    hop = HOP / SAMPLE_RATE

    def probabilities(self, waveforms: Sequence[Array]) -> list[Array]:
        return [waveform[::HOP] for waveform in waveforms]

    def stream(self) -> LoudnessStream:
        return LoudnessStream()


class LoudnessStream(VadStream):
    def __init__(self) -> None:
        self.audio = np.zeros(0, np.float32)
        self.told = 0

    def feed(self, waveform: Array) -> Array:
        self.audio = np.concatenate((self.audio, waveform))
        return self._until(max(len(self.audio) // HOP - LATE, 0))

    def finish(self) -> Array:
        return self._until(-(-len(self.audio) // HOP))

    def _until(self, count: int) -> Array:
        frames = self.audio[::HOP][self.told : count]
        self.told = count
        return frames


def audio_of(levels: Sequence[float], lost: int = 0) -> Array:
    """A frame of each level, without the last ``lost`` samples. It begins with its peak."""
    waveform = np.repeat(np.float32([1.0, *levels]), HOP)
    return waveform[: len(waveform) - lost]


def after(gate: SpeechGate, pieces: Sequence[Array]) -> list[Span]:
    for piece in pieces:
        gate.feed(piece)
    gate.finish()
    return gate.speech()


def cut(waveform: Array, places: Sequence[int]) -> list[Array]:
    return np.split(waveform, sorted(places))


def at_once(waveform: Array, options: SegmentationOptions) -> list[Span]:
    """What the stages find in the whole."""
    vad = LoudnessVad()
    (frames,) = vad.probabilities([waveform])
    duration = len(waveform) / SAMPLE_RATE
    return speech_segments(frames, vad.hop, duration, replace(options, max_segment=1e9))


seconds = st.sampled_from([0.0, 0.016, 0.03, 0.048, 0.05, 0.1, 0.128, 0.2])
some_options = st.builds(
    SegmentationOptions,
    threshold=st.sampled_from([0.5, 0.7]),
    hysteresis=st.sampled_from([0.0, 0.2]),
    min_speech=seconds,
    min_silence=seconds,
    pad=seconds,
    max_segment=st.just(30.0),
)
some_levels = st.lists(
    st.tuples(st.sampled_from([0.0, 0.4, 0.6, 0.8]), st.integers(1, 15)), max_size=30
).map(lambda runs: [level for level, count in runs for _ in range(count)])
some_audio = st.builds(audio_of, some_levels, st.integers(0, HOP - 1))
some_places = st.lists(st.integers(0, 40_000), max_size=40)


@given(some_audio, some_options, some_places)
def test_at_the_end_it_says_what_the_stages_do(
    waveform: Array, options: SegmentationOptions, places: list[int]
) -> None:
    gate = SpeechGate(LoudnessVad(), options)
    assert after(gate, cut(waveform, places)) == at_once(waveform, options)
    assert gate.heard == len(waveform)
    assert gate.known == len(waveform) / SAMPLE_RATE
    assert not gate.is_open


@given(some_audio, some_options, some_places)
def test_what_is_decided_stays(
    waveform: Array, options: SegmentationOptions, places: list[int]
) -> None:
    final = at_once(waveform, options)
    gate = SpeechGate(LoudnessVad(), options)
    before: list[Span] = []
    known = 0.0
    for piece in cut(waveform, places):
        gate.feed(piece)
        now = gate.speech()
        assert gate.known >= known
        known = gate.known
        assert until(known, now) == pytest.approx(until(known, final), abs=0.001)
        assert all(any(a <= start and end <= b for a, b in now) for start, end in before)
        assert [start for start, _ in now][: len(before)] == [start for start, _ in before]
        if gate.is_open:
            assert now[-1][1] == pytest.approx(known, abs=0.001)
        before = now


def until(time: float, spans: list[Span]) -> list[float]:
    """Starts and ends in turn, of what lies before that time."""
    begun = [span for span in spans if span[0] < time - 0.001]
    return [min(edge, time) for span in begun for edge in span]


@given(some_audio, some_options, some_places, st.lists(st.floats(0, 3), max_size=40))
def test_forgetting_changes_nothing_of_the_rest(
    waveform: Array, options: SegmentationOptions, places: list[int], times: list[float]
) -> None:
    gate, whole = (SpeechGate(LoudnessVad(), options) for _ in range(2))
    pieces = cut(waveform, places)
    latest = 0.0
    for piece, time in itertools.zip_longest(pieces, times[: len(pieces)], fillvalue=0.0):
        gate.feed(piece)
        whole.feed(piece)
        latest = max(latest, min(time, gate.known))
        gate.forget(latest)
        assert gate.speech() == [span for span in whole.speech() if span[1] > latest]
    gate.finish()
    whole.finish()
    assert gate.speech() == [span for span in whole.speech() if span[1] > latest]


@given(some_audio, some_options, some_places, st.integers(0, 20_000), st.integers(0, 9_000))
def test_a_restart_is_a_stream_that_began_later(
    waveform: Array, options: SegmentationOptions, places: list[int], at: int, length: int
) -> None:
    at = min(at, len(waveform))
    begin = max(at - length, 0)
    gate = SpeechGate(LoudnessVad(), options)
    for piece in cut(waveform, places):
        gate.feed(piece)
    gate.restart(waveform[begin:at], at, gate.peak)
    assert gate.heard == at
    found = after(gate, [waveform[at:]])
    later = at_once(waveform[begin:], options)
    moved = [(start + begin / SAMPLE_RATE, end + begin / SAMPLE_RATE) for start, end in later]
    expected = [span for span in moved if round(span[1], 3) > at / SAMPLE_RATE]
    assert np.allclose(np.ravel(found), np.ravel(expected), atol=0.001)
    assert len(found) == len(expected)


def test_a_restart_tells_no_more_of_what_ended_before() -> None:
    two_words = audio_of([*[0.0] * 10, *[0.8] * 10, *[0.0] * 20, *[0.8] * 10, *[0.0] * 20])
    at = 35 * HOP
    gate = SpeechGate(LoudnessVad(), DEFAULTS["ten"])
    gate.feed(two_words)
    _, second = gate.speech()
    gate.restart(two_words[:at], at, gate.peak)
    assert gate.speech() == []
    gate.feed(two_words[at:])
    assert gate.speech() == [second]


def test_memory_is_flat_where_what_is_known_is_forgotten() -> None:
    gate = SpeechGate(LoudnessVad(), DEFAULTS["ten"])
    turns = audio_of([0.9] * 30 + [0.0] * 30)
    for _ in range(50):
        gate.feed(turns)
        gate.forget(gate.known)
        assert len(gate.speech()) <= 1
        assert len(gate._closed) + len(gate._open) <= 2


@given(st.lists(st.floats(-1, 1, width=32), max_size=50), st.integers(0, 50), st.floats(0, 0.5))
def test_gain_goes_by_the_peak_so_far(samples: list[float], place: int, peak: float) -> None:
    waveform = np.float32(samples)
    peak = float(np.float32(peak))
    raised, last = raised_so_far(waveform, peak)
    first, between = raised_so_far(waveform[:place], peak)
    second, end = raised_so_far(waveform[place:], between)
    assert np.array_equal(raised, np.concatenate((first, second)))
    assert last == end == max([peak, *map(abs, waveform.tolist())])
    assert raised.dtype == np.float32
    for index, sample in enumerate(waveform.tolist()):
        so_far = max(peak, *map(abs, waveform[: index + 1].tolist()))
        gain = max(1.0, min(STREAM_PEAK / max(so_far, 1e-9), MOST_STREAM_GAIN))
        assert raised[index] == pytest.approx(sample * gain, rel=1e-6)


def test_a_forgotten_stretch_still_limits_the_next_ones_pad() -> None:
    options = replace(DEFAULTS["ten"], min_speech=0.0, min_silence=0.0, pad=HOP / SAMPLE_RATE)
    gate = SpeechGate(LoudnessVad(), options)
    gate.feed(audio_of([0.0, 0.6, 0.6, 0.6, 0.6, 0.6]))
    assert gate.speech()[1] == (0.024, 0.08)
    gate.forget(gate.known - 0.01)
    assert gate.speech() == [(0.024, 0.08)]
