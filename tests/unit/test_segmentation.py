"""Frame probabilities to segments: each rule on its own, then what holds for any input."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.errors import UsageError
from speechkit.stages.vad.segmentation import DEFAULTS, SegmentationOptions, speech_segments

HOP = 0.1
PLAIN = SegmentationOptions(
    threshold=0.5, hysteresis=0.0, min_speech=0.0, min_silence=0.0, pad=0.0, max_segment=1000.0
)


def segments(
    probabilities: list[float], duration: float | None = None, **changes: float
) -> list[tuple[float, float]]:
    array = np.array(probabilities, np.float32)
    length = HOP * len(array) if duration is None else duration
    return speech_segments(array, HOP, length, replace(PLAIN, **changes))


def test_nothing_in_nothing_out() -> None:
    assert segments([]) == []
    assert segments([0.1, 0.4]) == []


def test_a_frame_at_the_threshold_is_speech() -> None:
    assert segments([0, 0.5, 0.5, 0]) == [(0.1, 0.3)]
    assert segments([1, 0, 1]) == [(0.0, 0.1), (0.2, 0.3)]


def test_between_the_thresholds_speech_goes_on_but_never_begins() -> None:
    assert segments([0.4, 0.6, 0.4, 0.4, 0.2, 0.4], hysteresis=0.2) == [(0.1, 0.4)]


def test_pauses_shorter_than_min_silence_are_closed() -> None:
    probabilities = [1, 0, 1, 0, 0, 0, 1]
    assert segments(probabilities, min_silence=0.25) == [(0.0, 0.3), (0.6, 0.7)]
    assert segments(probabilities, min_silence=0.31) == [(0.0, 0.7)]


def test_pauses_are_closed_before_short_speech_is_dropped() -> None:
    probabilities = [1, 0, 1, 0, 0, 0, 1]
    assert segments(probabilities, min_silence=0.2, min_speech=0.25) == [(0.0, 0.3)]


def test_pads_stay_inside_the_recording_and_share_a_short_gap() -> None:
    assert segments([1, 0, 0, 1], 0.38, pad=0.05) == [(0.0, 0.15), (0.25, 0.38)]
    assert segments([0, 1, 0, 1, 0], pad=0.3) == [(0.0, 0.25), (0.25, 0.5)]


def test_the_last_frame_ends_with_the_recording() -> None:
    assert segments([0, 1], 0.1234) == [(0.1, 0.123)]


def test_a_long_segment_is_cut_at_the_quietest_frame_of_the_second_half() -> None:
    probabilities = [0.9] * 30
    probabilities[2] = 0.6  # first half: not considered
    probabilities[13] = 0.7
    probabilities[16] = 0.8
    assert segments(probabilities, max_segment=2.0) == [(0.0, 1.35), (1.35, 3.0)]


def test_equal_frames_are_cut_as_late_as_allowed() -> None:
    assert segments([0.9] * 45, max_segment=2.0) == [(0.0, 1.95), (1.95, 3.95), (3.95, 4.5)]


def test_a_cut_leaves_no_rest_shorter_than_min_speech() -> None:
    assert segments([0.9] * 21, max_segment=2.0, min_speech=0.5)[-1] == (1.55, 2.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.0),
        ("threshold", 1.1),
        ("threshold", math.nan),
        ("hysteresis", -0.1),
        ("hysteresis", 0.5),
        ("min_speech", -1.0),
        ("min_silence", math.inf),
        ("pad", math.nan),
        ("max_segment", 0.5),
    ],
)
def test_options_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"{name} is {value}"):
        replace(PLAIN, **{name: value})


def test_max_segment_may_be_unlimited() -> None:
    assert len(segments([1] * 50000, max_segment=math.inf)) == 1


seconds = st.floats(0, 1).map(lambda x: round(x, 3))
options = st.builds(
    SegmentationOptions,
    threshold=st.floats(0.3, 1),
    hysteresis=st.floats(0, 0.25),
    min_speech=seconds.map(lambda x: x / 2),
    min_silence=seconds,
    pad=seconds,
    max_segment=st.floats(1, 5),
)


@given(
    st.lists(st.floats(0, 1, width=32), max_size=300),
    st.sampled_from([0.01, 0.016, 0.032, 0.1]),
    st.floats(0, 0.99),
    options,
)
def test_segments_are_ordered_inside_and_no_longer_than_allowed(
    probabilities: list[float], hop: float, cut_off: float, chosen: SegmentationOptions
) -> None:
    duration = max(len(probabilities) - cut_off, 0) * hop
    array = np.array(probabilities, np.float32)
    found = speech_segments(array, hop, duration, chosen)
    assert all(0 <= start < end <= round(duration, 3) for start, end in found)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(found))
    assert all(end - start <= chosen.max_segment + 0.001 for start, end in found)
    uncut = speech_segments(array, hop, duration, replace(chosen, max_segment=1e9))
    assert merged(found) == merged(uncut)


def merged(found: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """With what touches joined."""
    joined: list[tuple[float, float]] = []
    for start, end in found:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def test_ten_hours_take_well_under_a_second() -> None:
    probabilities = np.random.default_rng(0).random(2_250_000, np.float32)
    begin = time.perf_counter()
    found = speech_segments(probabilities, 0.016, 36_000.0, DEFAULTS["ten"])
    assert time.perf_counter() - begin < 1
    assert len(found) > 1000


def test_options_load_without_numpy() -> None:
    code = "import sys, speechkit.stages.vad.segmentation; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_frame_of_less_than_half_a_millisecond_is_no_segment() -> None:
    options = replace(DEFAULTS["ten"], min_speech=0.0, pad=0.0)
    assert speech_segments(np.ones(1, np.float32), 0.016, 0.0003, options) == []
    assert speech_segments(np.ones(1, np.float32), 0.016, 0.001, options) == [(0.0, 0.001)]
