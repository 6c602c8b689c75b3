"""What a transcript tells: whether it is there, and fits its time, a model and its audio."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.errors import UsageError
from speechkit.records import Record, size_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHORTEST = 0.5  # seconds that a text counts as at least: of a word, VAD often finds but the vowel
_BRACKETED = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")  # noises and the like
_UNSPOKEN = re.compile(r"</?\w[^<>]*>|&#?\w+;|[\x00-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
_SPELT = 7  # letters that a digit may take: fünf-und-zwanzig
_FREE = 2  # letters that may differ in any text: in a single word, they are no proof


def text_measures(
    record: Record, spoken: float | None, tokenizer: Tokenizer | None, *, require_text: bool
) -> Record:
    """The measures of the text of a line; none where there is no text, unless it is required.

    ``spoken``: seconds of speech or, where there is none, of audio; None where it can't be read.
    """
    text = record.get("text")
    if text is None and not require_text:
        return {}
    text = text or ""
    size, heard = size_of(text), record.get("pred_text")
    measures: Record = {"letters": size, "markup": len(_UNSPOKEN.findall(text))}
    if tokenizer:
        measures["tokens"] = len(tokenizer.encode(text).ids)
    if size and spoken is not None:
        measures["letters_per_second"] = size / max(spoken, SHORTEST)
        if heard is not None:
            measures["text_agreement"] = agreement(text, heard)
    return measures


def read_tokenizer(path: str) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json`` or of a folder with one. Raise `UsageError`."""
    from tokenizers import Tokenizer

    file = Path(path, "tokenizer.json") if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise UsageError(
            f"--tokenizer {file}: no such file; give a tokenizer.json or a folder that has one"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as e:  # the library raises no other class
        raise UsageError(f"--tokenizer {path}: is not a tokenizer.json: {e}") from e


def agreement(text: str, heard: str) -> float | None:
    """The share of letters on which a transcript and the text that was recognised agree, 0 to 1.

    None where neither has letters, or one has them in brackets alone and the other has none, or
    where digits may stand for so many that the texts agree by them. Case, punctuation, spaces,
    accents and bracketed parts don't count, nor do digits that one of them spells out. Texts of a
    few letters nearly always agree, because recognition of short utterances is no evidence.
    """
    from rapidfuzz.distance import Levenshtein

    if not any(map(_unbracketed, (text, heard))) and not (letters(text) and letters(heard)):
        return None
    text, heard = letters(text), letters(heard)
    unequal = Counter(_digits(text)) - Counter(_digits(heard))
    unequal += Counter(_digits(heard)) - Counter(_digits(text))
    if unequal:
        text, heard = _without_digits(text), _without_digits(heard)
    longest = max(text, heard, key=len)
    # What a digit may stand for is left out of the judgement.
    spelt = _SPELT * unequal.total()
    judged = len(longest) - spelt
    if judged <= 0:
        return None
    free = spelt + _FREE * len(longest) / size_of(longest)
    differing = max(0.0, Levenshtein.distance(text, heard) - free)
    if spelt >= judged / 2 > differing:  # digits may be all that they agree on
        return None
    return 1 - differing / judged


def letters(text: str) -> str:
    """The letters and digits of a text that are compared with those of others.

    Those in brackets are, if there are no others.
    """
    return _unbracketed(text) or _alphanumeric(text)


def _unbracketed(text: str) -> str:
    return _alphanumeric(_BRACKETED.sub(" ", text))


def _alphanumeric(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in decomposed if char.isalnum())


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _without_digits(text: str) -> str:
    return "".join(char for char in text if not char.isdigit())
