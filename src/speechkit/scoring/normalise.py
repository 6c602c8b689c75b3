"""Text normalisers, applied before words and characters are compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from speechkit.errors import UsageError
from speechkit.scoring.unspaced_scripts import UNSPACED, close_up

#: ``unicode``: right for every script (`every_script` says how).
#: ``basic``: OpenAI's language-independent one, as Whisper's figures are published with. It turns
#: combining marks into spaces, which cuts words of Hindi, Thai, Tamil… apart and lets different
#: ones count as equal (Manohar & Pillai, "What is lost in Normalization?", EMNLP 2024).
#: ``english``: OpenAI's English one: contractions, numbers and British spellings too.
#: ``none``: the text as it is.
NORMALISERS = ("unicode", "basic", "english", "none")


def normaliser(name: str) -> Callable[[str], str]:
    """The function that maps a text to the one that is compared.

    All but ``none`` leave single spaces between words and none around them. Raise `UsageError`
    for an unknown name.
    """
    if name == "none":
        return str
    if name == "unicode":
        return every_script
    if name == "english":
        from whisper_normalizer.english import EnglishTextNormalizer

        clean = EnglishTextNormalizer()
    elif name == "basic":
        from whisper_normalizer.basic import BasicTextNormalizer

        clean = BasicTextNormalizer()
    else:
        raise UsageError(f"no normaliser is called {name!r}: choose of {', '.join(NORMALISERS)}")
    return lambda text: " ".join(clean(text).split())


def characters(name: str) -> Callable[[str], str]:
    """The function that maps a text of that normaliser to the one whose characters CER counts.

    A character is a code point, a space is one too, as in jiwer and NeMo. ``unicode`` leaves out
    the spaces beside a script that needs none between words.
    """
    return close_up if name == "unicode" else str


def every_script(text: str) -> str:
    """The text without case, punctuation, symbols and bracketed parts.

    - Combining marks (Mn, Mc) are parts of words. Only the points of Arabic and Hebrew that readers
      supply by themselves (harakat, niqqud, cantillation) and tatweel go; enclosing marks, too.
    - Code points that stand for the same characters become the same: NFC, full width and other
      compatibility forms as in NFKC, case folding, digits of any script as 0 to 9. In a text with
      Turkic i's (ı, İ) a capital I is one without a dot.
    - Invisible format characters (joiners, direction controls, soft hyphens, variation selectors)
      go without a trace; a zero-width space is a space.
    - Armenian's marks of stress and question, which stand over a word's vowel, go without a trace.
    - Apostrophes, Catalan's middle dot and Hebrew's gershayim stay within a word, a point and a
      comma between digits, as in Unicode's word boundaries (UAX #29). All else, hyphens included,
      becomes a space.
    """
    text = _BRACKETED.sub(" ", text)
    if text.isascii():
        return _words(text.translate(_IMAGES))
    text = unicodedata.normalize("NFC", text)
    if "ı" in text or "İ" in text:
        text = text.replace("I", "ı")
    if "\u200d" in text:
        for sequence, letter in _LETTERS_SPELT_WITH_A_JOINER.items():
            text = text.replace(sequence, letter)
    text = _GERSHAYIM.sub("״", text).translate(_IMAGES).replace("i\u0307", "i")
    text = unicodedata.normalize("NFC", _AM.sub(_am, text))
    return _words(text).translate(_APOSTROPHE_LETTERS)


def _words(text: str) -> str:
    return " ".join(_LOOSE.sub(" ", text).split())


class _Images(dict[int, str]):
    """The replacement of each code point in `every_script`, computed when first needed."""

    def __missing__(self, code: int) -> str:
        image = self[code] = _image(chr(code))
        return image


def _image(char: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    if "⁄" in folded:  # 1½ is not 11/2
        folded = f" {folded}"
    elif len(folded) > 1 and (folded[0] == " " or unicodedata.category(char) == "So"):
        # A spacing accent is no accent, and of symbols that spell something only units are said.
        folded = folded if unicodedata.decomposition(char).startswith("<square>") else " "
    return "".join(map(_kept, folded))


def _kept(char: str) -> str:
    """The replacement of a character of a case-folded text."""
    category = unicodedata.category(char)
    if char in _FIXED:
        return _FIXED[char]
    if category == "Sk" and unicodedata.name(char).startswith("MODIFIER LETTER"):
        return char  # a tone
    if category[0] in "PSZ" or category == "Cc":
        return " "
    if category in ("Cf", "Me") or _UNHEARD.match(char):
        return ""
    return str(unicodedata.decimal(char)) if category == "Nd" else char


_BRACKETED = re.compile(r"[\[［][^\]］]*[\]］]|[(（][^)）]*[)）]|[<＜][^>＞]*[>＞]")
_QUOTES = "'‘’‛`´׳՚"  # that are used as apostrophes
_APOSTROPHE_LETTERS = str.maketrans(dict.fromkeys("ʻʼꞌ", "'"))
_JOINERS = "'·״.,"
_FIXED = {
    **{joiner: joiner for joiner in _JOINERS},
    **{"٫": ".", "٬": ","},  # between Arabic digits
    **dict.fromkeys("՛՜՞՟", ""),  # Armenian
    "\u200b": " ",
}
# Joiners without a word, or for a point and a comma without a digit, on either side.
_LOOSE = re.compile(
    rf"[{_JOINERS}](?:(?<=[.,])(?:(?<!\d.)|(?!\d))"
    rf"|(?<=['·״])(?:(?<![^\s{_JOINERS}{UNSPACED}].)|(?![^\s{_JOINERS}{UNSPACED}])))"
)
_GERSHAYIM = re.compile('(?<=[א-ת])["“”](?=[א-ת](?![א-ת]))')  # before an acronym's last letter
_UNHEARD = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # invisible
    "\u0591-\u05c7"  # Hebrew cantillation and niqqud
    "\u0610-\u061a\u0640\u064b-\u0652\u0670\u06d6-\u06ed\u08ca-\u08ff]"  # tatweel and harakat
)
# Malayalam's chillus and Bengali's khanda ta before they were letters (Unicode 5.1 and 4.1).
_LETTERS_SPELT_WITH_A_JOINER = {
    f"{letter}\u200d": single
    for letter, single in {
        "ണ്": "ൺ",
        "ന്": "ൻ",
        "ര്": "ർ",
        "ല്": "ൽ",
        "ള്": "ൾ",
        "ക്": "ൿ",
        "ত্": "ৎ",
    }.items()
}
# Thai's and Lao's sara am, which NFKC takes apart, and which is typed in parts in either order.
_AM = re.compile("([\u0e4d\u0ecd])([\u0e48-\u0e4b\u0ec8-\u0ecb]?)[\u0e32\u0eb2]")
_IMAGES = _Images(dict.fromkeys(map(ord, _QUOTES), "'"))


def _am(match: re.Match[str]) -> str:
    return match[2] + ("\u0e33" if match[1] == "\u0e4d" else "\u0eb3")
