"""What Whisper's decoder learns to say for a line of a manifest, as tokens.

A label is everything after ``<|startoftranscript|>``: the language and the task for a multilingual
checkpoint, ``<|notimestamps|>`` or the times around each piece of the text, the text, and the end.

The text begins with a space, as Whisper's own transcripts do: in English, German, French, Korean,
Arabic and Hindi, base gives 90 to 99.6 % of the probability of the first token of text to tokens
that begin with one. In Chinese and Japanese it gives them 6 to 9 %, in Thai 17 to 20 %, and there
is no space. (The recipe of transformers never has one, so that its training begins with unlearning
it.)

A line whose times are of no use (see `timed_pieces`), or whose label they would make too long, is
trained without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechkit.engines.asr.whisper.vocabulary import TIMESTAMP, Vocabulary, is_multilingual
from speechkit.engines.finetune.whisper.timed_pieces import timed_pieces
from speechkit.errors import EngineMissing, UsageError
from speechkit.io import typed_json
from speechkit.records import Record

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TASK = "transcribe"
NO_SPACE = {"zh", "yue", "ja", "th"}  # languages whose transcripts begin without a space


class LabelInvalid(ValueError):
    """``reason``: the name by which the utterance is skipped."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Labels:
    """Makes labels for the checkpoint in a folder.

    ``language``: of lines without ``lang``. ``timestamps``: with those of lines that have times.
    Raise `EngineMissing` where the folder is no Whisper, and `UsageError` for a language that it
    lacks.

    ``longest``: tokens of a label, the end included. ``window``: seconds that the encoder hears at
    most. ``first_timestamp``: the token of 0 s; all tokens from it on are times, every 20 ms.
    """

    def __init__(self, model: Path, language: str | None, timestamps: bool) -> None:
        settings = _settings(model / "config.json")
        self._tokenizer = _tokenizer(model)
        self._vocabulary = _vocabulary(model, self._tokenizer)
        self._language = self._vocabulary.language(language) if language else None
        self._timestamps = timestamps
        self.longest = _size(settings, "max_target_positions", model)
        self.window = TIMESTAMP * _size(settings, "max_source_positions", model)
        self.first_timestamp = self._vocabulary.timestamps

    def tokens(self, record: Record, context: float) -> tuple[int, ...]:
        """The label of a line whose audio is not longer than ``context`` seconds.

        Raise `LabelInvalid` with ``no_text``, ``no_language`` or ``unknown_language``,
        ``not_unicode`` (half a character), ``special_tokens`` (the text itself spells one) or
        ``too_many_tokens``.
        """
        text = " ".join((record.get("text") or "").split())
        if not text:
            raise LabelInvalid("no_text")
        language = self._language_of(record)
        start = self._vocabulary.start(language, TASK)[1:]
        end = [self._vocabulary.eot]
        plain = [*start, self._vocabulary.no_timestamps, *self._text(text, language), *end]
        if len(plain) > self.longest:
            raise LabelInvalid("too_many_tokens")
        if self._timestamps and (timed := self._timed(record, text, language, context)):
            label = [*start, *timed, *end]
            if len(label) <= self.longest:
                return tuple(label)
        return tuple(plain)

    def has_timestamps(self, tokens: Sequence[int]) -> bool:
        return any(token >= self.first_timestamp for token in tokens)

    def _language_of(self, record: Record) -> str | None:
        """The language of a line; None for English alone without one."""
        stated = record.get("lang") or self._language
        if stated is None:
            if self._vocabulary.languages:
                raise LabelInvalid("no_language")
            return None
        try:
            return self._vocabulary.language(stated)
        except UsageError as e:
            raise LabelInvalid("unknown_language") from e

    def _text(self, text: str, language: str | None) -> list[int]:
        lead = "" if language in NO_SPACE else " "
        try:
            text.encode()
        except UnicodeEncodeError as e:
            raise LabelInvalid("not_unicode") from e
        tokens = self._tokenizer.encode(lead + text, add_special_tokens=False).ids
        if any(token >= self._vocabulary.eot for token in tokens):
            raise LabelInvalid("special_tokens")
        return list(tokens)

    def _timed(
        self, record: Record, text: str, language: str | None, context: float
    ) -> list[int] | None:
        """The pieces of the text, each between its times; None where there are no usable ones."""
        tokens: list[int] = []
        for piece in timed_pieces(record, text, context):
            start, end = (round(time / TIMESTAMP) for time in (piece.start, piece.end))
            if start == end:
                return None
            words = self._text(piece.text, language)
            tokens += [self.first_timestamp + start, *words, self.first_timestamp + end]
        return tokens or None


def languages(model: Path) -> frozenset[str]:
    """Those that a checkpoint can be told; none for an English-only one. Raise `EngineMissing`."""
    return frozenset(_vocabulary(model, _tokenizer(model)).languages)


def _vocabulary(model: Path, tokenizer: Tokenizer) -> Vocabulary:
    """As asr understands it: what the folder states, or else its tokens tell."""
    rules = model / "generation_config.json"
    settings = _settings(rules if rules.is_file() else model / "config.json")
    multilingual = settings.get("is_multilingual")
    if multilingual is None:
        multilingual = is_multilingual(tokenizer)
    return Vocabulary(tokenizer, bool(multilingual))


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = typed_json.parse(path.read_bytes())
        if not isinstance(settings, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as e:
        raise EngineMissing(f"--model {path.parent}: no {path.name} of a Whisper in it: {e}") from e
    return settings


def _size(settings: dict[str, Any], name: str, model: Path) -> int:
    size = settings.get(name)
    if type(size) is not int or size < 1:
        raise EngineMissing(f"{model / 'config.json'}: {name} is {size}, and not a number from 1")
    return size


def _tokenizer(model: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    path = model / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises no other class
        raise EngineMissing(
            f"{path}: is no tokenizer.json; copy that of the checkpoint from which the model was "
            f"trained ({e})"
        ) from e
