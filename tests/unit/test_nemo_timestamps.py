"""What NeMo stamps, as segments and words; its transcript is right where the two differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from speechkit.engines.asr.nemo.timestamps import hypothesis
from speechkit.stages.asr.transcript import Transcript
from speechkit.stages.asr.windows import Window

STRIDE = 0.08


def stamped(key: str, *texts: str) -> list[dict[str, Any]]:
    return [
        {key: text, "start_offset": 10 * at, "end_offset": 10 * at + 5}
        for at, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("the", "right", "text"), [("the", 0.0), ("right", 0.8), ("text.", 1.6)]),
        (("the", "rite", "text."), [("the", 0.0), ("right", 0.8), ("text.", 1.6)]),
        (("the", "righttext"), []),
    ],
)
def test_words_are_those_of_the_transcript(
    words: tuple[str, ...], expected: list[tuple[str, float]]
) -> None:
    timestamp = {"word": stamped("word", *words), "segment": stamped("segment", " ".join(words))}
    found = SimpleNamespace(text="the right text.", timestamp=timestamp)
    heard = hypothesis(found, 3.0, STRIDE, None)
    assert [(word.text, word.start) for one in heard.segments for word in one.words] == expected
    transcript = Transcript([(0.0, 3.0)])
    transcript.add(Window(((0.0, 3.0),)), heard)
    assert transcript.text == "the right text."
