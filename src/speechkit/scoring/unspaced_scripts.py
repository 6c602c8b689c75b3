"""Scripts without spaces between words, and the error rate to quote for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Figure = Literal["wer", "cer"]

#: A regular expression's character class of them: by Unicode's line breaking (UAX #14) the classes
#: of ideographs, kana and South East Asian scripts, and Tibetan, Javanese and Balinese besides.
#: Korean has spaces.
UNSPACED = (
    "\u0e00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf\U00011700-\U0001174f"  # Tai
    "\u1b00-\u1b7f\ua980-\ua9df"  # Balinese, Javanese
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003fffd"  # Han, the line above too
    "\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"  # kana
    "\u3105-\u312f\u31a0-\u31bf"  # Bopomofo
    "\ua000-\ua4cf\U00017000-\U00018dff\U0001b170-\U0001b2ff"  # Yi, Tangut, Nushu
)

#: From this share of a reference's characters on, CER is the figure to quote. Such a character
#: holds three to four times as much as a letter, so a tenth of them is a quarter of the content.
LEADING_SHARE = 0.1

_UNSPACED = re.compile(f"[{UNSPACED}]")
_NEEDLESS_SPACE = re.compile(f" (?:(?=[{UNSPACED}])|(?<=[{UNSPACED}] ))")


def close_up(text: str) -> str:
    """The text without spaces beside characters of these scripts."""
    return text if text.isascii() else _NEEDLESS_SPACE.sub("", text)


@dataclass(frozen=True, slots=True)
class Letters:
    """The number of a text's characters without spaces, and of those in these scripts."""

    total: int = 0
    unspaced: int = 0

    @classmethod
    def of(cls, text: str) -> Letters:
        unspaced = 0 if text.isascii() else len(_UNSPACED.findall(text))
        return cls(len(text) - text.count(" "), unspaced)

    def __add__(self, other: Letters) -> Letters:
        return Letters(self.total + other.total, self.unspaced + other.unspaced)

    @property
    def share(self) -> float:
        return self.unspaced / self.total if self.total else 0.0

    @property
    def figure(self) -> Figure:
        """The error rate to quote where this is the reference."""
        return "cer" if self.share >= LEADING_SHARE else "wer"

    @property
    def why(self) -> str:
        """The reason for this figure, as the end of a sentence."""
        if self.figure == "wer":
            return "the words of the reference are written apart"
        return (
            f"{self.share:.0%} of the reference's characters are of scripts that put no spaces "
            "between words (as Japanese, Chinese, Thai, Lao, Khmer and Burmese do), so that what "
            "counts as a word for the WER is a phrase or a sentence"
        )
