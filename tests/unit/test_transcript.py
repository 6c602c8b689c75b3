"""What was heard in windows becomes one transcript: every word once, in its place."""

from __future__ import annotations

from itertools import pairwise

import pytest

from speechkit.records import Hypothesis, Segment, Word
from speechkit.stages.asr.implausible_text import with_doubts
from speechkit.stages.asr.transcript import Transcript
from speechkit.stages.asr.windows import Window

WHOLE = Window(((0.0, 20.0),))


def segment(text: str, start: float, end: float, **more: object) -> Segment:
    """With its words at equal steps."""
    parts = text.split()
    step = (end - start) / len(parts)
    words = tuple(
        Word(part, start + at * step, start + (at + 1) * step) for at, part in enumerate(parts)
    )
    return Segment(start, end, text, words, **more)  # type: ignore[arg-type]


def heard(*segments: Segment) -> Hypothesis:
    return Hypothesis(segments, "en")


def told(transcript: Transcript) -> list[tuple[float, float, str | None]]:
    return [(round(s.start, 3), round(s.end, 3), s.text) for s in transcript.segments()]


def test_segments_end_at_pauses_and_sentences() -> None:
    transcript = Transcript([(1.0, 5.0), (8.0, 10.0)])
    text = "This is it. And so it goes"
    transcript.add(WHOLE, heard(segment(text, 1.0, 4.5), segment("after a pause", 8.0, 10.0)))
    assert told(transcript) == [
        (1.0, 2.5, "This is it."),
        (2.5, 4.5, "And so it goes"),
        (8.0, 10.0, "after a pause"),
    ]
    assert transcript.text == f"{text} after a pause"


@pytest.mark.parametrize("text", ["Mr. Hale came", "at 5 p.m. we left", "He said Dr. No. left"])
def test_an_abbreviation_ends_no_sentence(text: str) -> None:
    transcript = Transcript([(0.0, 3.0)])
    transcript.add(WHOLE, heard(segment(text, 0.0, 3.0)))
    assert [text for _, _, text in told(transcript)] == [text]


def test_no_segment_stands_over_a_pause() -> None:
    """Though the engine's own did, its first word with the silence before it."""
    transcript = Transcript([(0.5, 2.0), (14.0, 16.0)])
    words = [Word("before", 0.5, 2.0), Word("it", 2.0, 14.4), Word("ends", 14.4, 16.0)]
    transcript.add(WHOLE, heard(Segment(0.5, 16.0, "before it ends", tuple(words))))
    assert told(transcript) == [(0.5, 2.0, "before"), (14.0, 16.0, "it ends")]


def test_a_hole_is_filled_in_its_place() -> None:
    transcript = Transcript([(0.0, 2.0), (3.0, 6.0), (7.0, 9.0)])
    transcript.add(WHOLE, heard(segment("first of all", 0.0, 2.0), segment("and last", 7.0, 9.0)))
    ((start, end),) = transcript.unheard()
    assert (start, end) == (3.0, 6.0)
    window = Window(((2.7, 6.3),))
    transcript.improve((start, end), window, heard(segment("what was lost in between", 0.3, 3.3)))
    assert transcript.text == "first of all what was lost in between and last"
    assert transcript.unheard() == []


def test_what_is_heard_beside_a_hole_is_no_second_time_there() -> None:
    transcript = Transcript([(0.0, 6.0)])
    transcript.add(WHOLE, heard(segment("one two three", 0.0, 1.5)))
    ((start, end),) = transcript.unheard()
    again = segment("three four five six seven eight nine ten", 0.0, 4.8)
    transcript.improve((start, end), Window(((1.2, 6.0),)), heard(again))
    assert transcript.text == "one two three four five six seven eight nine ten"


def test_less_than_is_there_fills_no_hole() -> None:
    transcript = Transcript([(0.0, 9.0)])
    transcript.add(WHOLE, heard(segment("a stretched text", 0.0, 9.0)))
    before = told(transcript)
    transcript.improve((0.0, 9.0), WHOLE, heard(segment("you", 0.0, 9.0)))
    transcript.improve((0.0, 9.0), WHOLE, Hypothesis())
    assert told(transcript) == before


def test_other_punctuation_fills_no_hole() -> None:
    transcript = Transcript([(0.0, 2.0)])
    transcript.add(WHOLE, heard(segment("ask not", 0.0, 2.0)))
    transcript.improve((0.0, 2.0), Window(((0.0, 2.5),)), heard(segment("Ask not!", 0.0, 2.0)))
    assert transcript.text == "ask not"


def test_what_fills_a_hole_stays_in_it() -> None:
    transcript = Transcript([(0.0, 6.0)])
    transcript.add(WHOLE, heard(segment("first of all", 0.0, 2.0), segment("and last", 4.0, 6.0)))
    transcript.improve((2.0, 4.0), Window(((1.5, 4.5),)), heard(segment("in between", 0.0, 3.0)))
    assert told(transcript) == [
        (0.0, 2.0, "first of all"),
        (2.0, 4.0, "in between"),
        (4.0, 6.0, "and last"),
    ]


def test_the_language_of_an_engine_that_has_one_for_all_its_segments() -> None:
    transcript = Transcript([(0.0, 2.0)])
    transcript.add(WHOLE, Hypothesis((segment("one two", 0.0, 2.0),), "en"))
    assert transcript.languages == {"en": 2}


def test_a_hole_is_heard_in_the_language_around_it() -> None:
    english = segment("one two three", 0.0, 3.0, language="en")
    transcript = Transcript([(0.0, 10.0)])
    assert transcript.language_at(5.0) is None
    transcript.add(WHOLE, heard(english, segment("acht neun", 8.0, 10.0, language="de")))
    assert transcript.languages == {"en": 3, "de": 2}
    assert transcript.language_at(7.0) == "de"


def test_words_without_spaces_are_joined_as_they_are_written() -> None:
    words = tuple(
        Word(text, at, at + 1, spaced=False) for at, text in enumerate(["今日", "は", "天気"])
    )
    transcript = Transcript([(0.0, 3.0)])
    transcript.add(WHOLE, Hypothesis((Segment(0.0, 3.0, "今日は天気", words),), "ja"))
    assert transcript.text == "今日は天気"
    assert [text for _, _, text in told(transcript)] == ["今日は天気"]


def test_an_engine_without_word_times() -> None:
    transcript = Transcript([(1.0, 4.0), (6.0, 9.0)])
    text = "all of a window that tells nothing of its words"
    transcript.add(Window(((0.5, 9.5),)), heard(Segment(0.0, 9.0, text)))
    assert told(transcript) == [(1.0, 9.0, text)]
    assert transcript.segments()[0].words == ()


def test_text_without_word_times_covers_all_speech_in_it() -> None:
    transcript = Transcript([(0.5, 9.5), (11.0, 19.5), (21.0, 29.0)])
    text = "so many words that they can be said in all of the time " * 8
    transcript.add(Window(((0.0, 30.0),)), heard(Segment(0.0, 30.0, text)))
    assert transcript.suspicious() == transcript.unheard() == []
    sparse = Transcript([(0.5, 9.5), (11.0, 19.5), (21.0, 29.0)])
    sparse.add(Window(((0.0, 30.0),)), heard(Segment(0.0, 30.0, "far too few")))
    assert sparse.unheard() == [(0.5, 29.0)]


def test_no_doubt_takes_the_place_of_what_is_sure() -> None:
    transcript = Transcript([(0.0, 9.0)])
    transcript.add(WHOLE, heard(segment("so it", 0.0, 1.0)))
    doubted = segment("never mind all of that", 1.2, 8.8, flags=("doubtful",))
    transcript.improve((0.4, 9.0), WHOLE, heard(doubted))
    assert transcript.text == "so it"
    transcript.improve((1.0, 9.0), WHOLE, heard(doubted))
    assert transcript.text == "so it never mind all of that"


def test_doubts_and_languages_stay_with_their_segments() -> None:
    transcript = Transcript([(0.0, 4.0), (6.0, 9.0)])
    sure = segment("quite sure of it", 0.0, 4.0, language="en", confidence=0.9)
    doubted = segment("und das auch nicht", 6.0, 9.0, language="de", flags=("doubtful",))
    transcript.add(WHOLE, heard(sure, doubted))
    assert [(s.language, s.flags) for s in transcript.segments()] == [
        ("en", ()),
        ("de", ("doubtful",)),
    ]


def test_segments_are_in_order_and_apart() -> None:
    transcript = Transcript([(0.0, 3.0), (3.4, 6.0), (6.2, 9.0)])
    transcript.add(Window(((0.0, 3.2),)), heard(segment("One two three.", 0.0, 3.0)))
    transcript.add(Window(((3.2, 9.0),)), heard(segment("Four five six. Seven", 0.2, 5.8)))
    segments = transcript.segments()
    assert all(a.end <= b.start for a, b in pairwise(segments))
    for one in segments:
        assert all(a.end <= b.start for a, b in pairwise(one.words))


@pytest.mark.parametrize(
    ("text", "seconds", "confidence", "judged", "expected"),
    [
        ("Thank you.", 0.1, 0.9, [(0.0, 0.1)], ("doubtful",)),  # nobody speaks so fast
        ("ご視聴ありがとうございました", 0.6, 0.9, [(0.0, 0.6)], ("doubtful",)),
        ("Thanks for watching!", 3.0, 0.5, [(3.5, 4.0)], ("doubtful",)),
        ("Thanks for watching!", 3.0, 0.5, [(2.5, 4.0)], ()),
        ("Thanks for watching!", 3.0, 0.9, [], ()),  # a VAD misses some, too
        ("Yes.", 0.3, 0.5, [(0.0, 0.3)], ()),
        ("thanks for watching", 3.0, None, [], ("doubtful",)),  # NeMo's has no confidence
    ],
)
def test_text_that_nobody_can_have_said(
    text: str,
    seconds: float,
    confidence: float | None,
    judged: list[tuple[float, float]],
    expected: tuple[str, ...],
) -> None:
    (found,) = with_doubts([segment(text, 0.0, seconds, confidence=confidence)], judged)
    assert found.flags == expected
