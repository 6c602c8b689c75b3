"""What the decoder is to say for a line: its tokens, its times, and why there are none."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.engines.finetune.whisper.labels import LabelInvalid, Labels, languages
from speechkit.engines.finetune.whisper.timed_pieces import Piece, spelt_as
from speechkit.errors import EngineMissing, UsageError
from vocabularykit import tokenizer, tokenizer_file

WORDS = ["Well,", "she", "said:", "«wait».", "Then", "it", "was", "over"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All of a checkpoint but its weights, multilingual and English-only."""
    folders = {}
    for name in ("multilingual", "english"):
        folders[name] = folder = tmp_path_factory.mktemp(name)
        shutil.copy(tokenizer_file(), folder / "tokenizer.json")
        sizes = {"max_target_positions": 448, "max_source_positions": 1500}
        (folder / "config.json").write_text(json.dumps(sizes))
        rules = {"is_multilingual": name == "multilingual"}
        (folder / "generation_config.json").write_text(json.dumps(rules))
    return folders


@pytest.fixture(scope="module")
def labels(folders: dict[str, Path]) -> Labels:
    return Labels(folders["multilingual"], "en", timestamps=True)


def said(labels: Labels, record: dict[str, Any], context: float = 30.0) -> str:
    """A label in letters; times in seconds."""
    words = []
    for token in labels.tokens({"duration": 10.0, **record}, context):
        step = token - labels.first_timestamp
        words.append(f"<{step * 0.02:.2f}>" if step >= 0 else decoded(token))
    return "".join(words)


def decoded(token: int) -> str:
    return str(tokenizer().decode([token], skip_special_tokens=False))


def test_labels_without_times(labels: Labels, folders: dict[str, Path]) -> None:
    assert (labels.longest, labels.window) == (448, 30.0)
    plain = "<|en|><|transcribe|><|notimestamps|> A word<|endoftext|>"
    assert said(labels, {"text": " A\n word "}) == plain
    assert said(labels, {"text": "A word", "lang": "DE"}) == plain.replace("|en|", "|de|")
    japanese = said(labels, {"text": "はい", "lang": "ja"})
    assert japanese == "<|ja|><|transcribe|><|notimestamps|>はい<|endoftext|>"
    english = Labels(folders["english"], None, timestamps=True)
    assert said(english, {"text": "A word"}) == "<|notimestamps|> A word<|endoftext|>"
    assert not labels.has_timestamps(labels.tokens({"text": "A word"}, 30.0))


def test_languages_that_a_checkpoint_can_be_told(folders: dict[str, Path], tmp_path: Path) -> None:
    assert languages(folders["english"]) == frozenset()
    assert {"en", "de"} < languages(folders["multilingual"])
    shutil.copytree(folders["multilingual"], tmp_path / "bare")
    (tmp_path / "bare" / "generation_config.json").unlink()  # its tokens tell
    assert languages(tmp_path / "bare") == languages(folders["multilingual"])


def test_reasons(labels: Labels, folders: dict[str, Path]) -> None:
    unstated = Labels(folders["multilingual"], None, timestamps=True)
    english = Labels(folders["english"], None, timestamps=True)
    longest = {"text": "a " * 444}
    assert len(labels.tokens(longest, 30.0)) == 448
    for one, record, reason in (
        (labels, {}, "no_text"),
        (labels, {"text": " \n"}, "no_text"),
        (labels, {"text": "a " * 445}, "too_many_tokens"),
        (labels, {"text": "a", "lang": "xx"}, "unknown_language"),
        (labels, {"text": "a <|endoftext|> b"}, "special_tokens"),
        (labels, {"text": "a \ud800"}, "not_unicode"),
        (unstated, {"text": "a"}, "no_language"),
        (english, {"text": "a", "lang": "de"}, "unknown_language"),
    ):
        with pytest.raises(LabelInvalid, match=f"^{reason}$"):
            one.tokens(record, 30.0)


def segment(start: float, end: float, text: str = "") -> dict[str, Any]:
    return {"start": start, "end": end, **({"text": text} if text else {})}


def test_times(labels: Labels, folders: dict[str, Path]) -> None:
    segments = [segment(20.5, 22.0, "one two."), segment(22.004, 25, "three")]
    line = {"offset": 20.0, "text": "One two. Three!", "segments": segments}
    expected = "<|en|><|transcribe|><0.50> One two.<2.00><2.00> Three!<5.00><|endoftext|>"
    assert said(labels, line) == expected
    assert labels.has_timestamps(labels.tokens(line | {"duration": 10}, 30.0))
    plain = "<|en|><|transcribe|><|notimestamps|> One two. Three!<|endoftext|>"
    untimed = Labels(folders["multilingual"], "en", timestamps=False)
    assert said(untimed, line) == plain
    words = [
        {"word": word, "start": start, "end": start + 0.4}
        for word, start in (("one", 20.1), ("two.", 20.5), ("three", 20.9))
    ]
    timed = "<|en|><|transcribe|><0.10> One two.<0.90><0.90> Three!<1.30><|endoftext|>"
    assert said(labels, line | {"segments": [segment(20, 30)], "words": words}) == timed
    paused = [*words[:2], {"word": "three", "start": 21.4, "end": 30.05}]
    text = {"text": "one two three", "segments": []}
    ends = "<0.10> one two<0.90><1.40> three<10.00><|endoftext|>"
    assert said(labels, line | text | {"words": paused}).endswith(ends)


def test_times_that_do_not_hold_are_left_out(labels: Labels) -> None:
    line = {"offset": 20.0, "text": "One. Two."}
    one, two = segment(20.0, 21.0, "one"), segment(21.0, 22.0, "two")
    assert "<1.00>" in said(labels, line | {"segments": [one, two]})
    for segments in (
        [segment(0.0, 1.0, "one"), segment(1.0, 2.0, "two")],  # as if from the utterance's start
        [one, segment(21.0, 31.0, "two")],  # beyond the end
        [one, segment(20.5, 22.0, "two")],  # overlapping
        [one, segment(21.0, 21.005, "two")],  # no time at all
        [one, segment(21.0, 22.0, "too")],  # another text, as of a recogniser
        [one, segment(21.0, 22.0)],
        [one],
    ):
        assert "<|notimestamps|>" in said(labels, line | {"segments": segments}), segments
    for words in ("one two", [{"word": "one", "start": "0", "end": None}], [{"word": "one"}], [3]):
        assert "<|notimestamps|>" in said(labels, line | {"words": words})
    longest = {"text": "a " * 444, "segments": [segment(0.0, 2.0, "a " * 444)]}
    assert len(labels.tokens(longest, 30.0)) == 448


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_pieces_have_all_of_the_text(sizes: list[int]) -> None:
    bounds = [0, *(sum(sizes[: number + 1]) for number in range(len(sizes)))]
    spoken = [" ".join(WORDS[a:b]).lower() for a, b in pairwise(bounds)]
    spoken.append(" ".join(WORDS[bounds[-1] :]).strip(".,:«» "))
    pieces = [Piece(0.0, 0.0, "".join(c for c in one if c not in ".,:«»")) for one in spoken]
    spelt = spelt_as(" ".join(WORDS), pieces)
    assert " ".join(piece.text for piece in spelt) == " ".join(WORDS)
    assert spelt_as(" ".join(WORDS[1:]), pieces) == []


def test_folders_that_are_no_whisper(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match=r"no config\.json of a Whisper"):
        Labels(tmp_path, None, timestamps=True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineMissing, match="copy that of the checkpoint"):
        Labels(tmp_path, None, timestamps=True)
    shutil.copy(tokenizer_file(), tmp_path / "tokenizer.json")
    with pytest.raises(EngineMissing, match="max_target_positions is None"):
        Labels(tmp_path, None, timestamps=True)
    with pytest.raises(UsageError, match="--language xx: the model knows"):
        Labels(folders["multilingual"], "xx", timestamps=True)
