"""Live audio through Whisper: the words that are final are the forced beginning of its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from speechkit.engines.asr.whisper import word_times
from speechkit.engines.asr.whisper.temperature_fallback import FallbackDecoder
from speechkit.engines.protocols import LiveDecoder, LiveHypothesis
from speechkit.records import Word

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Alignment, Backend
    from speechkit.engines.asr.whisper.languages import LanguageOption
    from speechkit.engines.asr.whisper.options import WhisperOptions
    from speechkit.engines.protocols import Clip


class LiveWhisper(LiveDecoder):
    """A LiveDecoder over a `Backend`. ``context``: tokens that precede every prompt."""

    def __init__(
        self,
        backend: Backend,
        options: WhisperOptions,
        language: LanguageOption,
        context: Sequence[int],
    ) -> None:
        self._backend = backend
        self._vocabulary = backend.vocabulary
        self._task = options.task
        self._language = language
        self._context = context
        beams, temperatures = options.beam_size, options.temperature
        self._at_once = FallbackDecoder(backend, beams, temperatures[:1])
        self._thorough = FallbackDecoder(backend, beams, temperatures[:2], patient=False)
        self.longest = backend.chunk

    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        """As `LiveDecoder`. Once the speech has ``ended``, a text in doubt is decoded again by a
        wider search and at one other temperature, no more: somebody waits."""
        features = self._backend.features([clip.waveform])
        encoded = self._backend.encode(features, 1)
        language = self._language_of(clip, encoded)
        start = self._vocabulary.start(language, self._task)
        beginning = [self._tokens(word) for word in said]
        forced = [token for tokens in beginning for token in tokens]
        prompt = [*self._context, *start, self._vocabulary.no_timestamps, *forced]
        if len(forced) > self._backend.longest // 2:  # no model has said so much
            return LiveHypothesis((), language)
        decoder = self._thorough if ended else self._at_once
        (assessed,) = decoder.decode([clip], features, encoded, [prompt], 1)
        tokens = assessed.believed
        if not tokens:
            return LiveHypothesis((), language)
        (alignment,) = self._backend.align(encoded, start, [[*forced, *tokens]], [clip.seconds])
        groups = [*beginning, *self._vocabulary.words(tokens, language)]
        words = [word for word in self._words(groups, alignment)[len(said) :] if word.text]
        if words and not said:
            words = word_times.spaced(words, language)
        return LiveHypothesis(tuple(words), language, flags=assessed.flags)

    def _language_of(self, clip: Clip, encoded: Any) -> str | None:
        if not self._vocabulary.languages:
            return "en"
        known = self._language.fixed or (None if self._language.each else clip.language)
        return known or self._language.likeliest(self._backend.languages(encoded)[0])[0]

    def _tokens(self, word: Word) -> list[int]:
        """Those that the model has written, which the word carries with it."""
        tokens = self._vocabulary.spoken([char.text for char in word.chars])
        return tokens or self._vocabulary.encode(" " * word.spaced + word.text)

    def _words(self, groups: Sequence[Sequence[int]], alignment: Alignment) -> list[Word]:
        """The words of all groups of tokens, with their tokens."""
        found: list[Word] = []
        for group, word in zip(
            groups, word_times.words(groups, alignment, self._vocabulary), strict=True
        ):
            spelt = (self._vocabulary.spelt(token) for token in group)
            tokens = tuple(Word(text, word.start, word.end) for text in spelt)
            found.append(replace(word, chars=tokens))
        return found
