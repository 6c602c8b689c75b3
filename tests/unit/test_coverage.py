"""Speech without words is seen, whatever an aligner did with the words around it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speechkit.records import Word, size_of
from speechkit.stages.asr.coverage import HOLE, suspicious, unheard

Spans = list[tuple[float, float]]

SPEECH: Spans = [(1.0, 4.0), (5.0, 9.0), (12.0, 13.0)]


def words(*placed: tuple[str, float, float]) -> list[Word]:
    return [Word(text, start, end) for text, start, end in placed]


def spoken(stretch: tuple[float, float]) -> list[Word]:
    """As many words as fill a stretch of speech."""
    start, end = stretch
    count = max(1, round((end - start) / 0.3))
    step = (end - start) / count
    return [Word("word", start + i * step, start + (i + 1) * step) for i in range(count)]


def all_spoken(speech: Spans) -> list[Word]:
    return [word for stretch in speech for word in spoken(stretch)]


def test_nothing_is_missing_where_words_fill_the_speech() -> None:
    assert unheard(all_spoken(SPEECH), SPEECH) == []


def test_speech_without_any_word() -> None:
    assert unheard([], SPEECH) == [(1.0, 13.0)]
    assert unheard(spoken(SPEECH[1]), SPEECH) == [(1.0, 4.0), (12.0, 13.0)]
    assert unheard([], [(1.0, 1.0 + HOLE / 2)]) == []


def test_the_unread_rest_of_a_stretch() -> None:
    heard = [word for word in all_spoken(SPEECH) if not 6.5 <= word.start < 9]
    ((start, end),) = unheard(heard, SPEECH)
    assert 6.4 < start < 6.6
    assert end == 9.0


def test_a_word_that_is_stretched_over_a_hole() -> None:
    """It covers no more than its text can take: the span begins where it does."""
    heard = words(("so", 5.0, 5.2), ("it", 5.2, 8.5), ("was", 8.5, 8.8), ("not", 8.8, 9.0))
    ((start, end),) = unheard(heard, [(5.0, 9.0)])
    assert (start, end) == (5.2, 8.5)


def test_a_hole_that_several_words_share() -> None:
    said = spoken((0.0, 4.0))
    stretched = words(("is", 5.0, 5.9), ("it", 5.9, 6.8), ("so", 6.8, 7.7), ("he", 7.7, 9.0))
    assert unheard([*said, *stretched], [(0.0, 4.0), (5.0, 9.0)]) == [(5.0, 9.0)]


def test_two_words_where_there_is_room_for_a_sentence_are_suspicious() -> None:
    """An aligner has spread them over a short sentence that the decoder has skipped."""
    said = [*spoken((0.0, 4.0)), *words(("At", 5.0, 5.8), ("that", 5.8, 6.6)), *spoken((7.0, 9.0))]
    speech = [(0.0, 4.0), (5.0, 6.6), (7.0, 9.0)]
    assert suspicious(said, speech) == [(5.0, 6.6)]
    assert unheard(said, speech) == []


def test_slow_speech_is_no_hole() -> None:
    digits = words(("seven", 0.0, 0.9), ("three", 0.9, 1.8), ("six", 1.8, 2.5))
    assert suspicious(digits, [(0.0, 2.5)]) == []


def test_a_number_is_as_long_as_its_words() -> None:
    said = [*spoken((0.0, 4.0)), *words(("In", 5.0, 5.2), ("1813,", 5.2, 6.5))]
    assert suspicious(said, [(0.0, 4.0), (5.0, 6.5)]) == []


def test_a_text_without_word_times_accounts_for_its_length() -> None:
    text = "a whole segment of an engine that tells no times of words"
    assert unheard([Word(text, 0.0, 4.0)], [(0.0, 4.0)]) == []
    assert unheard([Word(text, 0.0, 14.0)], [(0.0, 14.0)]) == [(0.0, 14.0)]


def test_a_character_of_chinese_is_a_syllable() -> None:
    assert size_of("今日は天気") > 2 * size_of("today")
    assert unheard([Word("今日は天気がいいですね", 0.0, 2.4)], [(0.0, 2.4)]) == []


@given(
    st.lists(st.tuples(st.floats(0.3, 3), st.floats(0.4, 8)), min_size=1, max_size=8),
    st.data(),
)
def test_a_stretch_is_missed_exactly_where_its_words_are(
    steps: list[tuple[float, float]], data: st.DataObject
) -> None:
    speech: Spans = []
    now = 0.0
    for pause, length in steps:
        speech.append((now + pause, now + pause + length))
        now = speech[-1][1]
    lost = data.draw(st.integers(0, len(speech) - 1))
    heard = [word for at, one in enumerate(speech) if at != lost for word in spoken(one)]
    start, end = speech[lost]
    assert unheard(heard, speech) == ([(start, end)] if end - start >= HOLE else [])
