"""Drafts of windows: all together first, and those that raise doubts again, alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from speechkit.engines.asr.whisper import transcript
from speechkit.engines.asr.whisper.backend import Search

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Backend, Draft
    from speechkit.engines.protocols import Clip

TOKENS_A_SECOND = 15.0  # of the densest text that fits in a chunk: 448 tokens in 30 seconds
TOKENS_MORE = 24  # for a word or two in a clip of no length
BEAMS_AGAIN = 5  # what is doubtful is searched with, before anything is left to chance


@dataclass(frozen=True, slots=True)
class AssessedDraft:
    """A draft; ``repeats``: it says the same again and again, ``doubtful``: that, or the model
    doubts it at every temperature."""

    draft: Draft
    repeats: bool
    doubtful: bool


class FallbackDecoder:
    """Decodes windows on a `Backend`: with ``beams`` at the first temperature, and what is doubtful
    by a wider search and at the others, in turn."""

    def __init__(self, backend: Backend, beams: int, temperatures: Sequence[float]) -> None:
        self._backend = backend
        self._first, *others = (
            Search(1 if temperature else beams, temperature) for temperature in temperatures
        )
        wider = self._first.temperature == 0 and beams < BEAMS_AGAIN
        self._others = [Search(BEAMS_AGAIN), *others] if others and wider else others

    def decode(
        self, clips: Sequence[Clip], features: Any, encoded: Any, prompts: list[list[int]]
    ) -> list[AssessedDraft]:
        if self._first.temperature > 0:
            return [
                self._alone(clip, features[[row]], prompt, [], [self._first, *self._others])
                for row, (clip, prompt) in enumerate(zip(clips, prompts, strict=True))
            ]
        most = max(map(most_tokens, clips))
        drafts = self._backend.decode(encoded, prompts, self._first, most)
        judged = [self._judged(one, clip) for one, clip in zip(drafts, clips, strict=True)]
        for row, one in enumerate(judged):
            if one.doubtful and self._others:
                judged[row] = self._alone(
                    clips[row], features[[row]], prompts[row], [one], self._others
                )
        return judged

    def _alone(
        self,
        clip: Clip,
        features: Any,
        prompt: list[int],
        before: list[AssessedDraft],
        searches: Sequence[Search],
    ) -> AssessedDraft:
        """The first draft without a doubt; else the likeliest of all that doesn't repeat itself.
        The seed depends on nothing but the clip."""
        encoded = self._backend.encode(features)
        seed = zlib.crc32(clip.waveform.tobytes())
        tried = list(before)
        for search in searches:
            seeded = replace(search, seed=seed)
            drafts = self._backend.decode(encoded, [prompt], seeded, most_tokens(clip))
            tried.append(self._judged(drafts[0], clip))
            if not tried[-1].doubtful:
                return tried[-1]
        return max(tried, key=lambda one: (not one.repeats, one.draft.log_probability))

    def _judged(self, draft: Draft, clip: Clip) -> AssessedDraft:
        text = self._backend.vocabulary.decode(draft.tokens)
        endless = len(draft.tokens) >= most_tokens(clip)
        repeats = endless or transcript.repeats_itself(text)
        unlikely = draft.log_probability < transcript.LOG_PROBABILITY
        return AssessedDraft(draft, repeats, not no_speech(draft) and (repeats or unlikely))


def most_tokens(clip: Clip) -> int:
    """More than anybody says in its time: a draft as long as that has lost its way."""
    return round(TOKENS_A_SECOND * clip.seconds) + TOKENS_MORE


def no_speech(draft: Draft) -> bool:
    """The rule of OpenAI's whisper/transcribe.py."""
    return (
        draft.no_speech > transcript.NO_SPEECH
        and draft.log_probability < transcript.LOG_PROBABILITY
    )
