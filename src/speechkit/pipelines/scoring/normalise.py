"""Text normalisers: what counts as the same text before words are compared."""

from __future__ import annotations

from collections.abc import Callable

from speechkit.errors import UsageError

#: ``basic``: Whisper's language-independent one: lower case, no punctuation, nothing in brackets.
#: ``basic-marks``: the same, but the combining marks of Hindi, Thai, Tamil… stay; ``basic`` turns
#: them into spaces, which cuts words apart and misstates their WER (Manohar & Pillai 2024).
#: ``english``: Whisper's English one: contractions, numbers and British spellings too.
#: ``none``: the text as it is.
NORMALISERS = ("basic", "basic-marks", "english", "none")


def normaliser(name: str) -> Callable[[str], str]:
    """The function that maps a text to what is compared.

    All but ``none`` leave single spaces between words and none around them. Raises `UsageError`
    for an unknown name.
    """
    if name == "none":
        return str
    if name == "english":
        from whisper_normalizer.english import EnglishTextNormalizer

        clean = EnglishTextNormalizer()
    elif name in NORMALISERS:
        from whisper_normalizer.basic import BasicTextNormalizer

        clean = BasicTextNormalizer(preserve_marks=name == "basic-marks")
    else:
        raise UsageError(f"no normaliser is called {name!r}: choose of {', '.join(NORMALISERS)}")
    return lambda text: " ".join(clean(text).split())
