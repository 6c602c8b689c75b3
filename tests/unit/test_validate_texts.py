"""Texts against their time, a tokenizer, and what was recognised in their audio."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from speechkit.errors import UsageError
from speechkit.stages.validate.rules import RULES, findings
from speechkit.stages.validate.texts import agreement, read_tokenizer, text_measures

#: The 50 utterances of LibriSpeech's test-other, with what Whisper base recognises in them.
HEARD = [json.loads(line) for line in Path(__file__).with_name("heard.jsonl").open()]
LEAST = {rule.name: rule.threshold for rule in RULES}["wrong_text"]


def found(text: str | None, spoken: float | None = 2.0, **keys: str) -> list[str]:
    """The findings in a text, blocking or not."""
    record = {**keys} if text is None else {"text": text, **keys}
    measures = text_measures(record, spoken, None, require_text=False)
    issues, warnings = findings({**measures, "duration": spoken}, {})
    return issues + warnings


def wrong(texts: list[str]) -> list[int]:
    """Which of the texts are not those of the audio in their place."""
    pairs = zip(texts, HEARD, strict=True)
    shares = [agreement(text, line["pred_text"]) for text, line in pairs]
    return [at for at, share in enumerate(shares) if share is not None and share < LEAST]


TEXTS = [line["text"] for line in HEARD]


def test_no_right_text_is_wrong() -> None:
    assert wrong(TEXTS) == []


@pytest.mark.parametrize("seed", range(10))
def test_five_texts_in_each_others_place_are_found(seed: int) -> None:
    five = random.Random(seed).sample(range(len(TEXTS)), 5)
    swapped = [*TEXTS]
    for place, other in zip(five, five[1:] + five[:1], strict=True):
        swapped[place] = TEXTS[other]
    assert wrong(swapped) == sorted(five)


@pytest.mark.parametrize(
    ("damaged", "missed"),
    [
        (lambda words: words[: len(words) // 2], 2),
        (lambda words: words[len(words) // 2 :], 5),
        (lambda words: words[::-1], 1),
    ],
    ids=["without its second half", "without its first half", "backwards"],
)
def test_most_damaged_texts_are_found(
    damaged: Callable[[list[str]], list[str]], missed: int
) -> None:
    """What is missed are sentences of a few words, and a recipe full of numbers."""
    texts = [" ".join(damaged(text.split())) for text in TEXTS]
    assert len(wrong(texts)) >= len(TEXTS) - missed


def test_texts_of_the_same_length_are_told_apart() -> None:
    by_length = sorted(range(len(TEXTS)), key=lambda at: len(TEXTS[at]))[2:]  # of two on lobsters
    texts = [*TEXTS]
    for place, other in zip(by_length, by_length[1:] + by_length[:1], strict=True):
        texts[place] = TEXTS[other]
    assert wrong(texts) == sorted(by_length)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("It cost $25, in 1813!", "it cost twenty-five dollars in eighteen thirteen"),
        ("fünfundzwanzig Euro", "25 Euro."),
        ("the colour of the theatre in the centre", "The color of the theater in the center."),
        ("[laughter] well I <unk> never", "Well, I never."),
        ("STRASSE UND CAFE", "Straße und Café"),
        ("今日は天気がいいですね", "今日は天気が良いですね。"),
        ("안녕하세요 반갑습니다", "안녕하세요. 반갑습니다!"),
        ("seven", "Devon."),
        ("in eighteen thirteen", "1813"),
    ],
)
def test_other_spellings_of_the_same_are_right(text: str, heard: str) -> None:
    assert "wrong_text" not in found(text, pred_text=heard)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("今日は天気がいいですね", "明日東京へ行きます"),
        ("안녕하세요 반갑습니다", "오늘 날씨가 좋네요"),
        ("there are 3 of them left", "my brother has bought a house in town"),
        ("a long sentence that nobody says", ""),
    ],
)
def test_other_texts_are_wrong(text: str, heard: str) -> None:
    assert found(text, pred_text=heard) == ["wrong_text"]


def test_digits_alone_are_no_agreement() -> None:
    assert agreement("call 911 now please", "the weather was nice on tuesday") is None
    assert agreement("please call me at 9 tomorrow", "please call me at nine tomorrow") == 1


def test_words_in_brackets_count_if_there_are_no_others() -> None:
    assert agreement("(they went home)", "they went home") == 1
    assert agreement("(they went home)", "a house in the town") < LEAST
    assert agreement("[noise]", "") is None


def test_empty_texts_are_issues_and_absent_ones_only_on_demand() -> None:
    assert [found(text) for text in ("", " ", "…", "42")] == [["no_text"]] * 3 + [[]]
    assert found("", pred_text="heard") == ["no_text"]
    assert found(None) == []
    required = text_measures({}, 2.0, None, require_text=True)
    assert findings(required, {}) == (["no_text"], [])


@pytest.mark.parametrize(
    ("text", "spoken", "expected"),
    [
        ("seven", 0.15, []),  # of a digit, VAD finds the vowel
        ("seven", 0.4, []),
        ("one", 1.2, []),
        ("a", 0.8, []),
        ("a sentence of quite normal length for its time", 3.0, []),
        ("a sentence of quite normal length for its time", 1.0, ["fast_text"]),
        ("yes", 20.0, ["slow_text"]),
        ("今日は天気がいいですね", 1.4, []),
        ("今日は天気がいいですね" * 3, 1.4, ["fast_text"]),
        ("any", None, []),
    ],
)
def test_a_text_fits_its_time(text: str, spoken: float | None, expected: list[str]) -> None:
    assert found(text, spoken) == expected


@pytest.mark.parametrize(
    "text", ["a <b>big</b> word", "fish &amp; chips", "one\x00two", "caf\ufffd"]
)
def test_what_nobody_says_is_a_warning(text: str) -> None:
    assert found(text) == ["markup"]


def test_plain_signs_are_no_markup() -> None:
    assert found("Fish & chips < 5 € – it's 50% off; isn't it? a < b > c") == []


def test_tokens_are_counted_by_the_tokenizer_of_a_file_or_folder(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"yes": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        read = read_tokenizer(str(path))
        measures = text_measures({"text": "yes " * 449}, None, read, require_text=False)
        assert measures["tokens"] == 449
        assert findings(measures, {}) == (["too_many_tokens"], [])
        assert findings(measures, {"max_tokens": 449.0}) == ([], [])


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    for path, words in (
        (tmp_path, "tokenizer.json: no such"),
        (tmp_path / "other.json", "is not a"),
    ):
        with pytest.raises(UsageError, match=words):
            read_tokenizer(str(path))
