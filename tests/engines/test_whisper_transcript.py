"""Whisper's tokens to segments and words, without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from speechkit.engines.asr.whisper import word_times
from speechkit.engines.asr.whisper.backend import Alignment
from speechkit.engines.asr.whisper.token_spans import (
    Span,
    repeats_itself,
    spans,
    without_loops,
)
from speechkit.engines.asr.whisper.vocabulary import Vocabulary
from speechkit.errors import UsageError
from speechkit.records import Word
from vocabularykit import tokenizer


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(tokenizer(), multilingual=True)


def tokens(vocabulary: Vocabulary, *parts: str | float) -> list[int]:
    """Text as its tokens, numbers as timestamps in seconds."""
    found: list[int] = []
    for part in parts:
        if isinstance(part, str):
            found += vocabulary.context(part, 99)[1:]
        else:
            found.append(vocabulary.timestamps + round(part / 0.02))
    return found


def said(vocabulary: Vocabulary, found: list[Span]) -> list[tuple[float, float, str]]:
    return [(one.start, one.end, vocabulary.decode(one.tokens).strip()) for one in found]


def test_only_tokens_of_text_are_spoken(vocabulary: Vocabulary) -> None:
    heard = tokens(vocabulary, "one two")
    assert vocabulary.spoken([vocabulary.spelt(token) for token in heard]) == heard
    for strange in ("<|endoftext|>", "no such token"):
        assert vocabulary.spoken(["one", strange]) is None


def test_segments_lie_between_timestamps(vocabulary: Vocabulary) -> None:
    heard = tokens(vocabulary, 0.2, "one two", 1.0, 1.5, "six", 2.0)
    assert said(vocabulary, spans(heard, vocabulary, 3.0)) == [
        (0.2, 1.0, "one two"),
        (1.5, 2.0, "six"),
    ]


def test_segments_stay_in_their_window(vocabulary: Vocabulary) -> None:
    heard = tokens(vocabulary, 0.2, "one", 1.0, 2.8, "two")
    assert said(vocabulary, spans(heard, vocabulary, 2.5)) == [(0.2, 1.0, "one"), (2.5, 2.5, "two")]
    assert said(vocabulary, spans(tokens(vocabulary, "one two"), vocabulary, 2.5)) == [
        (0.0, 2.5, "one two")
    ]
    assert spans(tokens(vocabulary, 0.0, 0.0), vocabulary, 2.5) == []


def test_loops_are_seen_and_cut() -> None:
    assert repeats_itself("thank you " * 30)
    assert not repeats_itself("five five five five")
    assert not repeats_itself("")
    assert without_loops([1, 2, 3] + [7, 8] * 9) == [1, 2, 3, 7, 8]
    assert without_loops([1, 2, 3, 1, 2, 3, 4]) == [1, 2, 3, 1, 2, 3, 4]


def test_words_take_their_punctuation_with_them(vocabulary: Vocabulary) -> None:
    heard = vocabulary.context('one, "two" three-four. naïve ! (five)', 99)[1:]
    words = [vocabulary.decode(group).strip() for group in vocabulary.words(heard, "en")]
    assert words == ["one,", '"two"', "three-four.", "naïve !", "(five)"]
    assert [t for group in vocabulary.words(heard, "en") for t in group] == heard


def test_each_number_of_a_count_is_a_word(vocabulary: Vocabulary) -> None:
    heard = vocabulary.context("so 0-1-2, well-known 10-15.", 99)[1:]
    words = [vocabulary.decode(group) for group in vocabulary.words(heard, "en")]
    assert words == [" so", " 0-", "1-", "2,", " well-known", " 10-", "15."]


def test_languages_are_the_checkpoints(vocabulary: Vocabulary) -> None:
    assert list(vocabulary.languages)[:3] == ["en", "zh", "de"]
    assert len(vocabulary.languages) == 99
    assert vocabulary.language("DE") == "de"
    with pytest.raises(UsageError, match="--language klingon"):
        vocabulary.language("klingon")
    english = Vocabulary(tokenizer(), multilingual=False)
    assert english.language("en") == "en"
    assert english.start("en", "transcribe") == [english.sot]
    with pytest.raises(UsageError, match="English-only"):
        english.language("de")


def placed(vocabulary: Vocabulary, heard: list[int], starts: list[float]) -> Sequence[Word]:
    """The words of tokens that begin at ``starts``; one more, the end."""
    alignment = Alignment(starts, [0.9] * len(heard))
    (found,) = word_times.segments([Span(0.0, 8.0, tuple(heard))], alignment, vocabulary, "en")
    return found.words


def test_a_word_after_a_silence_begins_behind_it(vocabulary: Vocabulary) -> None:
    """An aligner gives it the silence: at the start of a window, and behind punctuation."""
    heard = tokens(vocabulary, "It is late. So we go on")
    assert len(heard) == 8
    starts = [0.0, 2.0, 2.2, 2.5, 2.6, 6.0, 6.2, 6.4, 6.6]
    first, is_, late, so, *_ = placed(vocabulary, heard, starts)
    assert first.start == pytest.approx(1.73, abs=0.01)
    assert first.end == pytest.approx(is_.start, abs=0.01)
    assert late.end == pytest.approx(2.6, abs=0.1)
    assert (so.start, so.end) == pytest.approx((5.73, 6.05), abs=0.01)


def test_a_word_alone_with_a_silence_is_no_slower_than_anybody_speaks(
    vocabulary: Vocabulary,
) -> None:
    (yes,) = placed(vocabulary, tokens(vocabulary, "Yes"), [0.0, 3.0])
    assert yes.start > 2.0


def test_a_number_takes_as_long_as_its_words(vocabulary: Vocabulary) -> None:
    heard = tokens(vocabulary, "It was bad. 1984 was worse")
    starts = [0.0, 0.2, 0.4, 0.7, 0.75]
    starts += [round(0.75 + 1.3 * share, 2) for share in np.linspace(0, 1, len(heard) - 5)[1:]]
    starts += [2.25, 2.8]
    words = placed(vocabulary, heard, starts)
    (year,) = (word for word in words if word.text == "1984")
    assert year.start < 0.9
