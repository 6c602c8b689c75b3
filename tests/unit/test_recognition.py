"""What of an utterance is decoded at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.stages.asr.recognition import ONE_LANGUAGE, Recognition
from speechkit.stages.asr.windows import packed


@dataclass
class Windows:
    """What a `Recognition` asks of an engine."""

    max_window: float = 30.0
    least_window: float = 30.0
    short_window: float = 0.0


SPEECH = [(1.0, 7.0), (8.0, 13.0), (20.0, 24.0)]
SILENCE = np.zeros(25 * SAMPLE_RATE, np.float32)


def test_speech_shares_a_window_but_where_each_may_be_in_another_language() -> None:
    one = Recognition(SILENCE, SPEECH, SPEECH)
    (together,) = one.windows(Windows())  # type: ignore[arg-type]
    assert together.window.pieces == ((0.5, 13.5), (19.5, 24.5))
    apart = [each.window.pieces for each in one.windows(Windows(), apart=True)]  # type: ignore[arg-type]
    assert apart == [((0.5, 7.5),), ((7.5, 13.5),), ((19.5, 24.5),)]


def test_speech_that_fits_in_the_short_window_of_an_engine_stays_there() -> None:
    one = Recognition(SILENCE, SPEECH, SPEECH)
    speech = [each.window.pieces for each in one.windows(Windows(short_window=5.0))]  # type: ignore[arg-type]
    assert speech == [((0.5, 13.5),), ((19.5, 24.5),)]
    brief = packed([(0, 3), (4, 5), (6, 8), (9, 15), (16, 22), (23, 24)], 30.0, 5.0)
    assert [len(window.pieces) for window in brief] == [2, 1, 2, 1]


def test_without_vad_all_is_decoded() -> None:
    one = Recognition(SILENCE, None, SPEECH)
    (whole,) = one.windows(Windows())  # type: ignore[arg-type]
    assert whole.window.pieces == ((0.0, 25.0),)
    parts = [each.window.pieces[0] for each in one.windows(Windows(), apart=True)]  # type: ignore[arg-type]
    assert (parts[0][0], parts[-1][1]) == (0.0, 25.0)
    assert all(end - start <= ONE_LANGUAGE for start, end in parts)
