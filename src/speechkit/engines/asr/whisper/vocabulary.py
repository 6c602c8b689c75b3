"""Whisper's tokens: its special ones, and text as tokens, segments and words."""

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


class Vocabulary:
    """The tokens of one checkpoint. Raises `EngineFailed` where they are not Whisper's."""

    def __init__(self, tokenizer: Tokenizer, multilingual: bool) -> None:
        self._tokenizer = tokenizer
        self.eot = self._special("<|endoftext|>")
        self.sot = self._special("<|startoftranscript|>")
        self.previous = self._special("<|startofprev|>")
        self.no_timestamps = self._special("<|notimestamps|>")
        self.no_speech = self._special("<|nospeech|>", "<|nocaptions|>")
        self.timestamps = self.no_timestamps + 1
        # The languages stand between these two in every checkpoint.
        ids = range(self.sot + 1, self._special("<|translate|>")) if multilingual else ()
        self.languages = {str(tokenizer.id_to_token(one)).strip("<|>"): one for one in ids}

    def _special(self, *names: str) -> int:
        for name in names:
            found = self._tokenizer.token_to_id(name)
            if found is not None:
                return int(found)
        raise EngineFailed(f"not a Whisper checkpoint: its tokenizer has no {names[0]}")

    def language(self, name: str) -> str:
        """The code, as the checkpoint spells it. Raises `UsageError`."""
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
        """What the transcript begins with: [sot] of an English-only checkpoint, else with the
        language and the task."""
        if not self.languages or language is None:
            return [self.sot]
        return [self.sot, self.languages[language], self._special(f"<|{task}|>")]

    def context(self, text: str, longest: int) -> list[int]:
        """Text that stands before the transcript: its last ``longest`` tokens."""
        tokens = self._tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids
        return [self.previous, *tokens[-longest:]] if tokens else []

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode([token for token in tokens if token < self.eot]))

    def words(self, tokens: Sequence[int], language: str | None) -> list[list[int]]:
        """All of the text tokens, in groups of a word each; punctuation goes with its word."""
        words: list[tuple[str, list[int]]] = []
        for text, group in self._characters(tokens):
            last = words[-1][0].strip() if words else ""
            counted = COUNTED.search(last) and text[:1].isdigit()
            glued = not text.startswith(" ") and language not in UNSPACED and not counted
            opens = text.startswith(" ") and _all_of(text, OPENING)  # quotes close as well
            closes = _all_of(text, CLOSING) and not opens
            if words and (glued or closes or _all_of(last, OPENING)):
                words[-1] = (words[-1][0] + text, words[-1][1] + group)
            else:
                words.append((text, group))
        return [group for _, group in words]

    def closing(self, tokens: Sequence[int]) -> int:
        """How many tokens at a word's end are punctuation, the first one aside."""
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


def _all_of(text: str, characters: str) -> bool:
    return bool(text.strip()) and set(text.strip()) <= set(characters)
