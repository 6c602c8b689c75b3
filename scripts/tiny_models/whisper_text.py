"""A small byte-level vocabulary with Whisper's special tokens in Whisper's order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tokenizers import AddedToken
from transformers import WhisperTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

LANGUAGES = ("en", "de", "fr", "es")
TIMESTAMP_STEP = 0.02  # seconds, Whisper's
# Each digit word becomes two tokens, " ze" + "ro": word times can be read from the attention both
# as OpenAI does (the step that predicts a token) and as transformers does (the step after).
# In all of them the space is joined: faster-whisper suppresses the token of a bare space.
MERGES = (
    *(("Ġ", letter) for letter in "zotfsen"),
    *(("Ġz", "e"), ("r", "o"), ("n", "e"), ("w", "o"), ("Ġt", "h"), ("r", "e"), ("re", "e")),
    *(("Ġf", "o"), ("u", "r"), ("Ġf", "i"), ("v", "e"), ("Ġs", "i"), ("Ġs", "e"), ("ve", "n")),
    *(("Ġe", "i"), ("g", "h"), ("gh", "t"), ("Ġn", "i")),
)
END_OF_TEXT = "<|endoftext|>"


def special_tokens(languages: tuple[str, ...]) -> list[str]:
    rest = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
    return [f"<|{name}|>" for name in ("startoftranscript", *languages, *rest)]


def build_tokenizer(
    window: int, languages: tuple[str, ...] = LANGUAGES, pieces: int = 0
) -> WhisperTokenizer:
    """For windows of `window` seconds: timestamps run from <|0.00|> to there. Pieces that mean
    nothing fill the vocabulary up where more than those of the digits are asked for."""
    learnt = [*bytes_to_unicode().values(), *(left + right for left, right in MERGES)]
    filling = [f"Ġ~{index}" for index in range(len(learnt), pieces)]
    vocabulary = {piece: index for index, piece in enumerate([*learnt, *filling, END_OF_TEXT])}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=list(MERGES), pad_token=END_OF_TEXT)
    tokenizer.add_special_tokens({"additional_special_tokens": special_tokens(languages)})
    steps = range(round(window / TIMESTAMP_STEP) + 1)
    times = [f"<|{step * TIMESTAMP_STEP:.2f}|>" for step in steps]
    tokenizer.add_tokens([AddedToken(time, special=False, normalized=False) for time in times])
    return tokenizer


@dataclass(frozen=True)
class Ids:
    """The token ids that training needs."""

    tokenizer: WhisperTokenizer
    languages: tuple[str, ...] = LANGUAGES

    def __getitem__(self, name: str) -> int:
        """The id of <|name|>."""
        index: int = self.tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        return index

    @cached_property
    def end(self) -> int:
        return self["endoftext"]

    @cached_property
    def start(self) -> int:
        return self["startoftranscript"]

    @cached_property
    def no_timestamps(self) -> int:
        return self["notimestamps"]

    def time(self, seconds: float) -> int:
        return self.no_timestamps + 1 + round(seconds / TIMESTAMP_STEP)

    def word(self, text: str) -> list[int]:
        """With the leading space."""
        pieces: list[int] = self.tokenizer.encode(f" {text}", add_special_tokens=False)
        return pieces
