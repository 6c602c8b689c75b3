"""Text as pieces that subtitles keep whole, with their widths and times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from speechkit.records import Segment

SLOWEST = 4  # columns a second that are spoken at least, where no word times tell

# Thai, Lao, Myanmar, Khmer; the scripts of Chinese and Japanese and their punctuation.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
# By UAX 14: closing and other punctuation, marks and small kana; opening punctuation.
_NEVER_BEGIN = {"Mn", "Mc", "Me", "Cf", "Pe", "Pf", "Po", "Pd", "Lm", "Sk"}
_NEVER_END = {"Ps", "Pi"}
_FOLLOWERS = frozenset("ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶะาำๅະາຳ～")
_LEADERS = frozenset("เแโใไເແໂໃໄ\u1039\u17d2\u200d")  # vowels written first, and what joins


@dataclass(frozen=True, slots=True)
class Piece:
    """A word, or a character of a script that is written without spaces.

    ``start``, ``end`` in milliseconds. ``spaced``: a space stands before it. ``ends_word``: a word
    with times of its own ends with it.
    """

    text: str
    start: int
    end: int
    columns: int
    spaced: bool
    ends_word: bool
    ends_segment: bool


def columns(text: str) -> int:
    """Width in columns: two for a wide character (UAX 11), none for a combining mark."""
    return sum(map(_columns, text))


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def is_unspaced(character: str) -> bool:
    """Whether its script is written without spaces between words."""
    return bool(_UNSPACED.match(character))


def pieces(segment: Segment, longest: float) -> list[Piece]:
    """The pieces of a tidied segment with text, timed by its words.

    Without words, or where they spell another text, the time is divided by the length of the text.
    Time beyond that of `SLOWEST` speech and ``longest`` milliseconds counts as silence.
    """
    letters = [letter for span in _spans(segment, longest) for letter in span.letters()]
    split: list[Piece] = []
    first = 0
    for text, spaced in _split(segment.text or ""):
        end = first + len(text)
        (start_time, _, _), (_, end_time, ends_word) = letters[first], letters[end - 1]
        is_last = end == len(letters)
        split.append(Piece(text, start_time, end_time, columns(text), spaced, ends_word, is_last))
        first = end
    return split


@dataclass(frozen=True, slots=True)
class _Span:
    """``count`` letters, spoken evenly between two times in milliseconds."""

    count: int
    start: int
    end: int

    def letters(self) -> Iterator[tuple[int, int, bool]]:
        """Start and end of each letter, and whether it is the last."""
        length = self.end - self.start
        for at in range(1, self.count + 1):
            start = self.start + length * (at - 1) // self.count
            yield start, self.start + length * at // self.count, at == self.count


def _spans(segment: Segment, longest: float) -> list[_Span]:
    """A span for each word, in order and within the segment, or a single one for all of it."""
    start, end = round(segment.start * 1000), round(segment.end * 1000)
    text = _letters(segment.text or "")
    if _letters("".join(word.text for word in segment.words)) != text:
        slowest = max(longest, columns(text) * 1000 / SLOWEST)
        return [_Span(len(text), start, round(min(end, start + slowest)))]
    spans: list[_Span] = []
    for word in segment.words:
        start = min(max(start, round(word.start * 1000)), end)
        word_end = min(max(start, round(word.end * 1000)), end)
        spans.append(_Span(len(_letters(word.text)), start, word_end))
        start = word_end
    return spans


def _letters(text: str) -> str:
    return text.replace(" ", "")


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """The smallest parts that a text of single spaces may be broken into, and whether a space
    stands before each."""
    for word in text.split(" "):
        first = 0
        if _UNSPACED.search(word):
            for at in range(1, len(word)):
                if _may_part(word[at - 1], word[at]):
                    yield word[first:at], first == 0
                    first = at
        yield word[first:], first == 0


def _may_part(left: str, right: str) -> bool:
    return (
        (is_unspaced(left) or is_unspaced(right))
        and unicodedata.category(right) not in _NEVER_BEGIN
        and unicodedata.category(left) not in _NEVER_END
        and right not in _FOLLOWERS
        and left not in _LEADERS
    )
