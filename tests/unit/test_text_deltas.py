"""The text of a stream of OpenAI's events."""

from __future__ import annotations

from itertools import chain, permutations
from typing import Any

from speechkit.serving.web.openai.streaming import TextDeltas

PARTS: list[dict[str, Any]] = [
    {"part": 0, "text": "", "spaced": True},
    {"part": 1, "text": "One two", "spaced": True},
    {"part": 2, "text": "three.", "spaced": True},
    {"part": 3, "text": "\u56db", "spaced": False},
]
TEXT = "One two three.\u56db"


def test_parts_are_sent_in_their_order_as_soon_as_it_allows() -> None:
    for order in permutations(range(4)):
        deltas = TextDeltas()
        sent = [list(deltas.add(PARTS[number])) for number in order]
        assert "".join(chain.from_iterable(sent)) == TEXT
        assert list(deltas.rest(TEXT)) == []
        if order[:2] == (0, 1):
            assert sent[1] == ["One two"]


def test_the_end_completes_what_was_sent() -> None:
    deltas = TextDeltas()
    assert list(deltas.add(PARTS[2])) == []
    assert list(deltas.rest(TEXT)) == [TEXT]
    whole = TextDeltas()
    assert list(whole.add({"text": "Whole"})) == ["Whole"]
    assert list(whole.rest("Another text")) == []
