"""The keys of the input's segments on their way to the output's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.records import Hypothesis, Segment, Utterance, Word
from speechkit.stages.asr.recognition import Attempt, Recognition
from speechkit.stages.asr.recording_parts import turns
from speechkit.stages.asr.speaker_turns import NO_TURNS, Turn, Turns
from speechkit.stages.asr.transcript import Transcript
from speechkit.stages.asr.windows import Window

A, B = {"speaker": "A"}, {"speaker": "B"}
WHOLE = Window(((0.0, 10.0),))
TWO = Turns([Turn(0.0, 5.0, A), Turn(5.0, 10.0, B)])


def words(*times: tuple[float, float]) -> tuple[Word, ...]:
    return tuple(Word(f"w{at}", start, end) for at, (start, end) in enumerate(times))


def spoken(transcript: Transcript) -> list[tuple[Mapping[str, Any], str | None]]:
    return [(segment.extra, segment.text) for segment in transcript.segments()]


@pytest.mark.parametrize(
    ("start", "end", "extra"),
    [
        (1.0, 2.0, A),
        (4.0, 5.9, A),
        (4.2, 6.0, B),
        (5.0, 5.0, A),  # no longer than its border
        (11.0, 12.0, B),  # beyond all
        (8.4, 8.6, B),  # in the pause
    ],
)
def test_a_word_is_of_the_turn_that_it_overlaps_most(
    start: float, end: float, extra: Mapping[str, Any]
) -> None:
    turns = Turns([Turn(0.5, 5.0, A), Turn(5.0, 8.0, B), Turn(9.0, 10.0, B)])
    assert turns.extra_at(start, end) == extra


def test_of_two_at_once_the_first_goes_on_to_its_end() -> None:
    turns = Turns([Turn(0.0, 5.0, A), Turn(4.0, 8.0, B), Turn(2.0, 3.0, B)])
    assert [turns.extra_at(at, at + 0.1) for at in (1.0, 2.5, 4.5, 5.5)] == [A, A, A, B]
    assert turns.changes(0.0, 8.0) == [5.0]


SPAN = st.tuples(st.floats(0, 20), st.floats(0, 20)).map(sorted)


@given(st.lists(st.tuples(SPAN, st.sampled_from([A, B, {}])), max_size=6), SPAN)
def test_every_word_finds_a_turn_and_a_change_lies_inside(
    spans: list[tuple[list[float], dict[str, str]]], word: list[float]
) -> None:
    turns = Turns(Turn(start, end, extra) for (start, end), extra in spans)
    said = [extra for (start, end), extra in spans if start < end]
    assert turns.extra_at(*word) in (said or [{}])
    assert all(word[0] <= change <= word[1] for change in turns.changes(*word))


def test_a_sentence_of_two_speakers_ends_where_the_first_does() -> None:
    transcript = Transcript([(0.0, 10.0)], TWO)
    heard = words((3.0, 3.8), (3.8, 4.9), (4.9, 5.6), (5.6, 6.0))
    transcript.add(WHOLE, Hypothesis((Segment(3.0, 6.0, "w0 w1 w2 w3", heard),)))
    assert spoken(transcript) == [(A, "w0 w1"), (B, "w2 w3")]
    assert transcript.text == "w0 w1 w2 w3"


def test_turns_with_the_same_keys_are_one() -> None:
    alike = Turns([Turn(0.0, 5.0, A), Turn(5.0, 10.0, A)])
    transcript = Transcript([(0.0, 10.0)], alike)
    transcript.add(WHOLE, Hypothesis((Segment(3.0, 6.0, "w0 w1", words((3, 5), (5, 6))),)))
    assert spoken(transcript) == [(A, "w0 w1")]


def test_a_part_of_a_recording_keeps_its_turns() -> None:
    segments = [{"start": 0.0, "end": 5.0, **A}, {"start": 5.0, "end": 10.0, **B}]
    later = turns(Utterance(0, "/a.wav", record={"segments": segments}), 4.0)
    assert [later.extra_at(at, at + 0.1) for at in (0.5, 2.0)] == [A, B]
    assert later.changes(0.0, 6.0) == [1.0]
    silent = [{"start": 0.0, "end": 5.0}]
    assert turns(Utterance(0, "/a.wav", record={"segments": silent}), 4.0) is NO_TURNS


def recognition(turns: Turns, text: str = "all that both have said") -> Recognition:
    """An engine without word times has heard one text over all of it."""
    waveform = np.zeros(10 * SAMPLE_RATE, np.float32)
    result = Recognition(waveform, [(0.0, 10.0)], [(0.0, 10.0)], turns=turns)
    result.take(Attempt(WHOLE), Hypothesis((Segment(0.0, 10.0, text),)))
    return result


def test_a_text_without_word_times_is_decoded_again_turn_by_turn() -> None:
    pause = Turns([Turn(0.5, 4.0, A), Turn(5.0, 9.0, B)])
    both = recognition(pause)
    attempts = both.turns(30.0)
    assert [attempt.window.pieces for attempt in attempts] == [((0.0, 4.5),), ((4.5, 10.0),)]
    for attempt, text in zip(attempts, ("what A has said", "what B has"), strict=True):
        start, end = attempt.window.pieces[0]
        both.take(attempt, Hypothesis((Segment(0.0, end - start, text),)))
    assert spoken(both.transcript) == [(A, "what A has said"), (B, "what B has")]
    assert both.turns(30.0) == []


def test_nothing_is_decoded_again_where_no_keys_differ() -> None:
    for alike in (NO_TURNS, Turns([Turn(0.0, 5.0, A), Turn(5.0, 10.0, A)])):
        assert recognition(alike).turns(30.0) == []
