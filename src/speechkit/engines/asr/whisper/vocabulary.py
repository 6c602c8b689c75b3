"""Whisper's vocabulary: special tokens, and words as groups of tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from speechkit.errors import EngineFailed, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TIMESTAMP = 0.02  # seconds from one timestamp token to the next
UNSPACED = {"zh", "ja", "th", "lo", "my", "yue"}  # languages written without spaces
OPENING = "\"'“¿([{-"  # punctuation that belongs to the word after it
CLOSING = "\"'.。,，!！?？:：”)]}、"  # to the word before it
COUNTED = re.compile(r"\d-$")  # 1-2-3 is spoken with pauses
REPLACEMENT = "\ufffd"  # what an unfinished UTF-8 sequence decodes to


def is_multilingual(tokenizer: Tokenizer) -> bool:
    """Whether the end of text is not at OpenAI's 50256, where English-only vocabularies have it.

    The language tokens don't tell: English-only vocabularies hold them as well.
    """
    return tokenizer.token_to_id("<|endoftext|>") != 50256


class Vocabulary:
    """The tokens of a checkpoint. Raise `EngineFailed` where they are not Whisper's."""

    def __init__(self, tokenizer: Tokenizer, multilingual: bool) -> None:
        self._tokenizer = tokenizer
        self.eot = self.token("<|endoftext|>")
        self.sot = self.token("<|startoftranscript|>")
        self.previous = self.token("<|startofprev|>")
        self.no_timestamps = self.token("<|notimestamps|>")
        self.no_speech = self.token("<|nospeech|>", "<|nocaptions|>")
        self.timestamps = self.no_timestamps + 1
        # The languages stand between these two in every checkpoint.
        ids = range(self.sot + 1, self.token("<|translate|>")) if multilingual else ()
        self.languages = {str(tokenizer.id_to_token(id_)).strip("<|>"): id_ for id_ in ids}

    def token(self, *names: str) -> int:
        """The token that the vocabulary spells like one of the names."""
        for name in names:
            token = self._tokenizer.token_to_id(name)
            if token is not None:
                return int(token)
        raise EngineFailed(f"not a Whisper checkpoint: its tokenizer has no {names[0]}")

    def language(self, name: str) -> str:
        """The code of a language, as the checkpoint spells it. Raise `UsageError`."""
        code = name.lower()
        if not self.languages:
            if code == "en":
                return code
            raise UsageError(f"--language {name}: this checkpoint is English-only")
        if code not in self.languages:
            known = ", ".join(sorted(self.languages))
            raise UsageError(f"--language {name}: the model knows {known}")
        return code

    def start(self, language: str | None, task: str) -> list[int]:
        """The tokens that open a transcript: [sot], and unless the checkpoint is English-only the
        language and the task."""
        if not self.languages or language is None:
            return [self.sot]
        return [self.sot, self.languages[language], self.token(f"<|{task}|>")]

    def context(self, text: str, longest: int) -> list[int]:
        """The tokens of text that precedes the transcript: the last ``longest`` of them."""
        tokens = self.encode(" " + text.strip())
        return [self.previous, *tokens[-longest:]] if tokens else []

    def text_at_end(self, prompt: Sequence[int]) -> int:
        """The number of text tokens at the end of a prompt, which a draft continues."""
        return sum(1 for _ in takewhile(lambda token: token < self.eot, reversed(prompt)))

    def spelt(self, token: int) -> str:
        """A token as the vocabulary spells it, whatever its bytes."""
        return str(self._tokenizer.id_to_token(token))

    def spoken(self, spellings: Sequence[str]) -> list[int] | None:
        """The tokens of text that are `spelt` so, None where there are no such ones."""
        found = map(self._tokenizer.token_to_id, spellings)
        tokens = [token for token in found if token is not None and token < self.eot]
        return tokens if len(tokens) == len(spellings) else None

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode([token for token in tokens if token < self.eot]))

    def words(self, tokens: Sequence[int], language: str | None) -> list[list[int]]:
        """The text tokens in groups, one a word; punctuation goes with its word."""
        words: list[tuple[str, list[int]]] = []
        for text, group in self._characters(tokens):
            if words and _continues(words[-1][0].strip(), text, spaced=language not in UNSPACED):
                words[-1] = (words[-1][0] + text, words[-1][1] + group)
            else:
                words.append((text, group))
        return [group for _, group in words]

    def closing(self, tokens: Sequence[int]) -> int:
        """The number of punctuation tokens at a word's end, not counting its first token."""
        rest = reversed(tokens[1:])
        return sum(1 for _ in takewhile(lambda token: _all_of(self.decode([token]), CLOSING), rest))

    def _characters(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The shortest groups of tokens that decode to whole characters."""
        groups: list[tuple[str, list[int]]] = []
        held: list[int] = []
        for token in tokens:
            held.append(token)
            text = self.decode(held)
            if REPLACEMENT not in text:
                groups.append((text, held))
                held = []
        if held:
            groups.append((self.decode(held), held))
        return groups


def _continues(word: str, text: str, *, spaced: bool) -> bool:
    """Whether the text belongs to the word before it; ``spaced``: spaces stand between words."""
    begins_number = COUNTED.search(word) and text[:1].isdigit()
    is_glued = spaced and not text.startswith(" ") and not begins_number
    opens = text.startswith(" ") and _all_of(text, OPENING)  # quotes close as well
    closes = _all_of(text, CLOSING) and not opens
    return is_glued or closes or _all_of(word, OPENING)


def _all_of(text: str, characters: str) -> bool:
    return bool(text.strip()) and set(text.strip()) <= set(characters)
