"""Subtitles keep their limits and every word, in any script, and are set as a person would."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from check_subtitles import cue_faults, pause_faults, read_srt, read_vtt, text_faults
from speechkit.formats import formats_of
from speechkit.formats.cues import A_SEGMENT_A_CUE, LAYOUT, Cue, Layout, typeset
from speechkit.records import Recording, Segment, Word

NARROW = Layout(16, 2, 7.0)
READERS = {"srt": read_srt, "vtt": read_vtt}


def spoken(text: str, start: float = 0.0, rate: float = 0.3, pause: float = 0.0) -> Segment:
    """A segment whose words take ``rate`` seconds each; ``|`` is a pause."""
    words: list[Word] = []
    at = start
    for word in text.split():
        if word == "|":
            at += pause
            continue
        words.append(Word(word, round(at, 3), round(at + rate, 3)))
        at += rate
    return Segment(start, words[-1].end, " ".join(word.text for word in words), tuple(words))


def shown(*segments: Segment, layout: Layout = LAYOUT, duration: float = 60.0) -> list[Cue]:
    (cues,) = typeset([Recording("talk", duration, segments)], layout)
    return cues


def texts(*segments: Segment, layout: Layout = LAYOUT) -> list[str]:
    return [cue.text for cue in shown(*segments, layout=layout)]


# As a person would set them


def test_what_fits_is_one_cue_and_short_text_one_line() -> None:
    assert texts(spoken("The first train leaves at seven.")) == ["The first train leaves at seven."]


def test_lines_break_at_clauses_and_cues_at_sentences() -> None:
    speech = spoken(
        "How are you today? I am fine, thank you. Mr. Smith told me that the train to the city "
        "leaves at seven in the morning, and that we should be there early."
    )
    assert texts(speech) == [
        "How are you today? I am fine, thank you.",
        "Mr. Smith told me that the train to the\ncity leaves at seven in the morning,",
        "and that we should be there early.",
    ]


def test_clauses_stay_whole() -> None:
    speech = spoken(
        "And so, my fellow Americans, ask not what your country can do for you, ask what you can "
        "do for your country."
    )
    assert texts(speech) == [
        "And so, my fellow Americans,\nask not what your country can do for you,",
        "ask what you can do for your country.",
    ]


def test_lines_without_punctuation_are_balanced_and_end_with_no_preposition() -> None:
    speech = spoken("the narrative would be tedious to him and painful to a reader like myself")
    assert texts(speech) == [
        "the narrative would be tedious\nto him and painful to a reader like myself"
    ]


def test_a_sentence_in_two_segments_is_set_as_one() -> None:
    first = spoken(
        "If the reader will excuse me, I will say nothing of my antecedents, nor of the "
        "circumstances",
        rate=0.25,
    )
    second = spoken("which led me to leave my native country.", start=first.end)
    assert texts(first, second) == [
        "If the reader will excuse me,\nI will say nothing of my antecedents,",
        "nor of the circumstances\nwhich led me to leave my native country.",
    ]


def test_sentences_in_segments_of_their_own_are_cues_of_their_own() -> None:
    first = spoken("Where were you?")
    assert texts(first, spoken("I was at home.", start=first.end)) == [
        "Where were you?",
        "I was at home.",
    ]


def test_a_segment_without_room_is_joined_to_what_it_flows_into() -> None:
    first = Segment(0.0, 0.3, "Yes.")
    assert texts(first, spoken("I'd love to see it.", start=0.4)) == ["Yes. I'd love to see it."]
    assert texts(first, spoken("I'd love to see it.", start=0.7)) == ["Yes.", "I'd love to see it."]


def test_a_short_cue_stands_until_it_can_be_read_but_never_into_the_next() -> None:
    short = spoken("Yes.", start=1.0)
    assert shown(short) == [Cue(1000, 1800, ("Yes.",))]
    assert shown(short, duration=1.5) == [Cue(1000, 1500, ("Yes.",))]
    late = spoken("I'd love to see it.", start=1.65)
    assert shown(short, late)[0].end == 1650
    quick = spoken("Nobody understood.", start=1.0, rate=0.2)  # 18 columns at 17 a second
    assert shown(quick) == [Cue(1000, 2058, ("Nobody understood.",))]
    hasty = spoken("Nobody understood a single word of it.", start=1.0, rate=0.1)
    assert shown(hasty)[0].end == 1700 + 1000  # no cue outlasts its words by more than a second


def test_a_cue_ends_where_a_pause_begins() -> None:
    cues = shown(spoken("well | I never thought of that", rate=0.4, pause=3.0))
    assert cues == [
        Cue(0, 800, ("well",)),
        Cue(3400, 5400, ("I never thought of that",)),
    ]


def test_slow_speech_is_cut_by_the_time_that_a_cue_stands() -> None:
    cues = shown(spoken("a b c d e f g h i j k l", rate=0.9), duration=30.0)
    assert [cue.end - cue.start <= 7000 for cue in cues] == [True, True]
    (cue,) = shown(Segment(2.0, 40.0, "Thank you."))
    assert (cue.start, cue.end) == (2000, 9000)


def test_japanese_breaks_between_characters_but_before_no_punctuation() -> None:
    text = (
        "これは日本語の字幕の例です。長い文章は二十一文字で改行されますが、"
        "句読点の後で切れるのが望ましい。"
    )
    assert texts(Segment(0.0, 9.0, text)) == [
        "これは日本語の字幕の例です。",
        "長い文章は二十一文字で改行されますが、\n句読点の後で切れるのが望ましい。",
    ]
    for width in range(6, 43):
        cues = shown(Segment(0.0, 6.0, "「あ」、いいえ。" * 4), layout=Layout(width, 2, 7.0))
        lines = [line for cue in cues for line in cue.lines]
        assert all(line[0] not in "」、。" and line[-1] != "「" for line in lines)


def test_thai_marks_and_vowels_stay_with_their_consonants() -> None:
    text = "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอนหรือวรรณยุกต์เช่นเดียวกับภาษาจีนและออกเสียงแยกคำต่อคำ"
    lines = [line for cue in shown(Segment(0.0, 9.0, text), layout=NARROW) for line in cue.lines]
    assert len(lines) > 4
    assert "".join(lines) == text
    for line in lines:
        assert line[0] not in "ะาำ่้็ัิีึืุู์"
        assert line[-1] not in "เแโใไ"


def test_words_with_times_are_kept_whole_where_a_script_has_no_spaces() -> None:
    words = ["東京都", "知事", "選挙", "の", "投票日", "は", "日曜日"]
    times = [Word(word, float(i), i + 1.0) for i, word in enumerate(words)]
    segment = Segment(0.0, 7.0, "".join(words), tuple(times))
    lines = [line for cue in shown(segment, layout=NARROW) for line in cue.lines]
    ends = {"".join(words[:count]) for count in range(1, len(words) + 1)}
    assert {"".join(lines[:count]) for count in range(1, len(lines) + 1)} <= ends


def test_a_word_longer_than_a_line_stays_whole() -> None:
    word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    assert texts(spoken(f"Die {word} tagt.")) == [f"Die\n{word}", "tagt."]


def test_words_that_spell_another_text_lend_it_no_times() -> None:
    segment = Segment(0.0, 4.0, "one two", (Word("three", 3.0, 3.5),))
    assert shown(segment) == [Cue(0, 4000, ("one two",))]


def test_segments_that_overlap_take_turns() -> None:
    long = spoken(" ".join(["word"] * 40))
    cues = shown(long, Segment(4.0, 4.6, "Mhm."))
    (turn,) = [index for index, cue in enumerate(cues) if cue.text == "Mhm."]
    assert 0 < turn < len(cues) - 1
    assert all(one.end <= two.start for one, two in pairwise(cues))


def test_each_limit_can_be_turned_off() -> None:
    speech = spoken(" ".join(["word"] * 60), rate=0.2)
    (line,) = shown(speech, layout=Layout(0, 0, 0))
    assert line == Cue(0, 12000, (speech.text,))
    assert [len(cue.lines) for cue in shown(speech, layout=Layout(42, 0, 0))] == [8]
    assert {len(cue.lines) for cue in shown(speech, layout=Layout(0, 2, 4.0))} == {1}
    assert {len(cue.lines) for cue in shown(speech, layout=Layout(42, 1, 0))} == {1}


def test_an_arrow_of_any_length_ends_no_cue() -> None:
    text = formats_of("asr", LAYOUT)["srt"].render([Recording("x", 9.0, (spoken("a ----> b"),))])
    assert text.count("-->") == 1
    assert read_srt(text)[0].lines == ("a -> b",)


# Whatever is said

SPACED = [
    *("the", "quick,", "fox?", "jumps.", "Der", "Zug:", "—", "um", "да,", "нет.", "мост"),
    *("مرحبا", "بالعالم،", "नमस्ते।", "दुनिया", "안녕하세요,", "세계.", "e\u0301te\u0301"),
    *("🎧", "👍🏽", "-->", "<b>", "&", "7", "...", "extraordinarily", "Donaudampfschifffahrt"),
]
UNSPACED = [
    "東京は、",
    "晴れ。",
    "ですか？",
    "「はい」",
    "今天",
    "很好，",
    "カー",
    "ภาษาไทย",
    "เป็น",
    "ก็",
]
PHRASE = st.tuples(st.just(" "), st.lists(st.sampled_from(SPACED + UNSPACED), min_size=1)) | (
    st.tuples(st.just(""), st.lists(st.sampled_from(UNSPACED), min_size=1))
)
LAYOUTS = st.builds(
    Layout,
    st.just(0) | st.integers(8, 60),
    st.integers(0, 3),
    st.just(0.0) | st.integers(3, 100).map(lambda tenths: tenths / 10),
)
MILLISECONDS = st.integers(0, 2500)


@st.composite
def speech(draw: st.DrawFn, overlapping: bool = False) -> Recording:
    """Segments of words in order, some of no length or with pauses between them, some segments
    without words; in several scripts, with spaces between the words or without."""
    at = 0
    segments: list[Segment] = []
    for space, parts in draw(st.lists(PHRASE, max_size=5)):
        start = at = max(0, at + draw(st.integers(-3000 if overlapping else 0, 2000)))
        words: list[Word] = []
        for part in parts:
            begin = at + draw(st.just(0) | MILLISECONDS)
            at = begin + draw(st.just(0) | st.just(300) | MILLISECONDS)
            words.append(Word(part, begin / 1000, at / 1000))
        kept = tuple(words) if draw(st.booleans()) else ()
        segments.append(Segment(start / 1000, at / 1000, space.join(parts), kept))
    segments.sort(key=lambda segment: segment.start)
    latest = max([0.0, *(segment.end for segment in segments)])
    return Recording("talk", latest + draw(st.sampled_from([0.0, 0.5, 5.0])), tuple(segments))


def assert_faultless(recording: Recording, layout: Layout, name: str) -> None:
    cues = READERS[name](formats_of("asr", layout)[name].render([recording]))
    assert [*text_faults("\n".join(cue.text for cue in cues), recording)] == []
    if layout != A_SEGMENT_A_CUE:
        assert [*cue_faults(cues, recording, layout), *pause_faults(cues, recording)] == []


@given(speech(), LAYOUTS, st.sampled_from(sorted(READERS)))
def test_limits_hold_and_no_word_is_lost(recording: Recording, layout: Layout, name: str) -> None:
    assert_faultless(recording, layout, name)


@given(speech(overlapping=True), LAYOUTS, st.sampled_from(sorted(READERS)))
def test_limits_hold_where_segments_overlap(
    recording: Recording, layout: Layout, name: str
) -> None:
    assert_faultless(recording, layout, name)
