"""Which stretches an ASR engine hears: all speech, nothing twice, no piece too long."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.stages.asr.windows import (
    JOIN,
    PAD,
    PAUSE,
    Window,
    around_speech,
    cut_at_pauses,
    overlap,
    packed,
    united,
    within_a_stretch,
    within_speech,
)

RATE = 16_000
Spans = list[tuple[float, float]]


@st.composite
def speech(draw: st.DrawFn) -> tuple[Spans, float]:
    """Segments in order of time, and the recording's length."""
    steps = draw(st.lists(st.tuples(st.floats(0, 3), st.floats(0.02, 20)), max_size=12))
    segments: Spans = []
    now = 0.0
    for pause, length in steps:
        segments.append((now + pause, now + pause + length))
        now = segments[-1][1]
    return segments, now + draw(st.floats(0.01, 2))


@given(speech())
def test_all_speech_is_in_exactly_one_span(given_speech: tuple[Spans, float]) -> None:
    segments, duration = given_speech
    spans = around_speech(united(segments, duration), duration)
    assert all(0 <= start < end <= duration for start, end in spans)
    assert all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(spans))
    for start, end in segments:
        assert sum(a <= start and end <= b for a, b in spans) == 1


def test_close_speech_is_joined_and_padded() -> None:
    near, far = JOIN / 2, JOIN * 1.5
    assert around_speech([(1.0, 2.0), (2.0 + near, 6.0)], 10.0) == [(1.0 - PAD, 6.0 + PAD)]
    assert around_speech([(1.0, 2.0), (2.0 + far, 6.0)], 10.0) == [
        (1.0 - PAD, 2.0 + PAD),
        (2.0 + far - PAD, 6.0 + PAD),
    ]
    assert around_speech([(0.1, 9.95)], 10.0) == [(0.0, 10.0)]
    assert around_speech([], 10.0) == []


@pytest.mark.parametrize(("start", "end"), [(0.0, 100.0), (3.25, 64.9), (0.0, 30.01), (5.0, 20.0)])
def test_a_long_window_is_cut_without_loss(start: float, end: float) -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, 100 * RATE).astype(np.float32)
    pieces = cut_at_pauses(noise, RATE, (start, end), 30.0, [(0.0, 100.0)])
    assert pieces[0][0] == start
    assert pieces[-1][1] == end
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    assert all(0 < b - a <= 30.0 for a, b in pieces)
    assert len(pieces) <= (end - start) // 15 + 1


@given(speech(), st.floats(1, 40))
def test_cuts_go_through_no_speech_where_there_are_pauses(
    case: tuple[Spans, float], longest: float
) -> None:
    segments, duration = case
    spans = united(segments, duration)
    noise = np.random.default_rng(3).normal(0, 0.1, round(duration * RATE)).astype(np.float32)
    pieces = cut_at_pauses(noise, RATE, (0.0, duration), longest, spans)
    assert (pieces[0][0], pieces[-1][1]) == (0.0, duration)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    assert all(b - a <= longest + 1e-6 for a, b in pieces)
    for start, end in pieces[:-1]:
        half = (start + longest / 2, start + longest)
        pause = (half[1] - half[0]) - overlap(spans, [half])
        inside = any(first + 1e-6 < end < last - 1e-6 for first, last in spans)
        parts = 1 + sum(first < half[1] and last > half[0] for first, last in spans)
        assert not inside or pause < PAUSE * parts


def test_cuts_lie_at_the_quietest_place_without_a_pause() -> None:
    waveform = np.random.default_rng(4).normal(0, 0.1, 90 * RATE).astype(np.float32)
    pauses = [(22.0, 22.3), (47.5, 47.7), (70.1, 70.3)]
    for start, end in pauses:
        waveform[int(start * RATE) : int(end * RATE)] *= 0.01
    cuts = [end for _, end in cut_at_pauses(waveform, RATE, (0.0, 90.0), 30.0, [(0.0, 90.0)])][:-1]
    assert len(cuts) == 3
    assert all(start <= at <= end for at, (start, end) in zip(cuts, pauses, strict=True))


@given(speech(), st.floats(5, 40))
def test_packed_windows_hold_each_piece_once_in_order(
    case: tuple[Spans, float], longest: float
) -> None:
    segments, duration = case
    spans = around_speech(united(segments, duration), duration)
    pieces = [span for span in spans if span[1] - span[0] <= longest]
    windows = packed(pieces, longest)
    assert [piece for window in windows for piece in window.pieces] == pieces
    for window in windows:
        assert sum(end - start for start, end in window.pieces) <= longest + 1e-6
    for one, other in itertools.pairwise(windows):
        start, end = other.pieces[0]
        assert sum(e - s for s, e in one.pieces) + end - start > longest - 1e-6


def test_foreign_segments_lose_nothing() -> None:
    """Overlapping, nested, unordered, beyond the recording, empty."""
    given = [(5.0, 35.0), (0.0, 40.0), (45.0, 44.0), (50.0, 99.0), (-3.0, -1.0), (60.0, 60.0)]
    assert united(given, 55.0) == [(0.0, 40.0), (50.0, 55.0)]
    assert around_speech(united(given, 55.0), 55.0) == [(0.0, 40.0 + PAD), (50.0 - PAD, 55.0)]


def test_the_overlap_of_speech_and_text() -> None:
    assert overlap([(0.0, 2.0), (3.0, 5.0)], [(1.0, 4.0), (4.5, 9.0)]) == pytest.approx(2.5)
    assert overlap([(0.0, 1.0)], []) == 0.0


def test_a_word_of_a_packed_window_comes_back_to_its_place() -> None:
    """In one piece, though an aligner gives it the silence at the end of the piece before."""
    window = Window(((1.0, 2.0), (5.0, 5.5), (9.0, 10.0)))
    assert window.place(0.7, 1.4) == pytest.approx((5.0, 5.4))
    assert window.place(0.5, 1.2) == pytest.approx((1.5, 2.0))
    assert window.place(0.2, 0.6) == pytest.approx((1.2, 1.6))
    assert window.place(2.4, 9.9) == pytest.approx((9.9, 10.0))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0.5, 2.5), (1.0, 2.0)),
        ((1.2, 1.4), (1.2, 1.4)),
        ((1.5, 3.0), (1.5, 2.0)),
        ((2.5, 4.5), (4.0, 4.5)),
        ((0.5, 7.0), (1.0, 5.0)),
        ((2.5, 3.5), (2.5, 3.5)),
        ((6.0, 7.0), (6.0, 7.0)),
        ((2.0, 4.0), (2.0, 4.0)),
    ],
)
def test_a_time_in_a_pause_moves_to_the_speech(
    given: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert within_speech(*given, [(1.0, 2.0), (4.0, 5.0)]) == expected
    assert within_speech(*given, []) == given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((1.9, 4.3), (4.0, 4.3)),  # an aligner gave it the pause before
        ((1.6, 4.1), (1.6, 2.0)),
        ((1.2, 1.4), (1.2, 1.4)),
        ((2.5, 3.5), (2.5, 3.5)),
    ],
)
def test_no_word_has_a_pause_in_it(
    given: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert within_a_stretch(*given, [(1.0, 2.0), (4.0, 5.0)]) == expected


def test_a_packed_window_sounds_as_its_pieces() -> None:
    waveform = np.arange(10 * RATE, dtype=np.float32)
    cut_out = Window(((1.0, 2.0), (5.0, 5.5))).cut_from(waveform, RATE)
    assert len(cut_out) == 1.5 * RATE
    assert (cut_out[0], cut_out[RATE], cut_out[-1]) == (RATE, 5 * RATE, 5.5 * RATE - 1)
