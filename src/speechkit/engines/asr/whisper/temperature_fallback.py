"""Temperature fallback: windows are decoded together, and drafts in doubt again, each alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from speechkit.engines.asr.whisper import token_spans
from speechkit.engines.asr.whisper.backend import Search

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.backend import Backend, Draft
    from speechkit.engines.protocols import Clip

TOKENS_A_SECOND = 15.0  # of the densest text that fits in a chunk: 448 tokens in 30 seconds
TOKENS_EXTRA = 24  # for a word or two in a very short clip
FALLBACK_BEAMS = 5  # of the search that precedes sampling
# Mean log probability of a token below which a draft is unsure. Of 15,805 words, base mishears
# 2,013 in windows of 15 to 20 s, 1,914 in windows of 30 s, which take 1.5 to 2.4 times the CPU
# time, and 1,991 where only unsure ones are decoded in 30 s, too, which takes 3 % more. With -0.7
# these are 1,980 words and 9 %.
UNSURE = -0.9


@dataclass(frozen=True, slots=True)
class AssessedDraft:
    """A draft. ``repeats``: its text repeats itself. ``doubtful``: that, or it is unlikely."""

    draft: Draft
    repeats: bool
    doubtful: bool

    @property
    def unsure(self) -> bool:
        """Whether it is doubtful, or nearly."""
        return self.doubtful or (self.draft.log_probability < UNSURE and not no_speech(self.draft))

    @property
    def believed(self) -> list[int]:
        """Its tokens without loops; none where there is no speech."""
        if no_speech(self.draft):
            return []
        tokens = self.draft.tokens
        return token_spans.without_loops(tokens) if self.repeats else tokens

    @property
    def flags(self) -> tuple[str, ...]:
        if self.repeats:
            return ("hallucination",)
        return ("doubtful",) if self.doubtful else ()


class FallbackDecoder:
    """Decodes windows on a `Backend`, first with ``beams`` at the first temperature.

    Unsure drafts of shortened windows are decoded again in `Backend.longer_window`, unless it is
    not ``patient``; doubtful ones by a wider search and then at the other temperatures in turn.
    """

    def __init__(
        self,
        backend: Backend,
        beams: int,
        temperatures: Sequence[float],
        *,
        patient: bool = True,
    ) -> None:
        self._backend = backend
        self._patient = patient
        self._first, *others = (
            Search(1 if temperature else beams, temperature) for temperature in temperatures
        )
        wider = self._first.temperature == 0 and beams < FALLBACK_BEAMS
        self._others = [Search(FALLBACK_BEAMS), *others] if others and wider else others

    def decode(
        self,
        clips: Sequence[Clip],
        features: Any,
        encoded: Any,
        prompts: list[list[int]],
        rows: int,
    ) -> list[AssessedDraft]:
        """A draft of each clip, ``rows`` of them at once."""
        if self._first.temperature > 0:
            return [
                self._decode_again(
                    clip, features[row : row + 1], prompt, [], [self._first, *self._others]
                )
                for row, (clip, prompt) in enumerate(zip(clips, prompts, strict=True))
            ]
        limits = [max_tokens(clip.seconds) for clip in clips]
        drafts = self._backend.decode(encoded, prompts, self._first, limits, rows)
        return [
            self._improved(self._assess(draft, clip), clip, features[row : row + 1], prompts[row])
            for row, (draft, clip) in enumerate(zip(drafts, clips, strict=True))
        ]

    def _improved(
        self, assessed: AssessedDraft, clip: Clip, features: Any, prompt: list[int]
    ) -> AssessedDraft:
        """The draft of a clip, or a better one if it is in doubt."""
        searches = self._others if assessed.doubtful else []
        if assessed.unsure and self._patient and self._others:
            longer = self._backend.longer_window(clip.waveform)
            if longer is not None:
                features, searches = longer, [self._first, *searches]
        if not searches:
            return assessed
        return self._decode_again(clip, features, prompt, [assessed], searches)

    def _decode_again(
        self,
        clip: Clip,
        features: Any,
        prompt: list[int],
        earlier: list[AssessedDraft],
        searches: Sequence[Search],
    ) -> AssessedDraft:
        """The first draft without doubts; else the likeliest one that doesn't repeat itself.

        The seed depends only on the clip.
        """
        encoded = self._backend.encode(features, 1)
        seed = zlib.crc32(clip.waveform.tobytes())
        assessed = list(earlier)
        for search in searches:
            seeded = replace(search, seed=seed)
            drafts = self._backend.decode(encoded, [prompt], seeded, [max_tokens(clip.seconds)], 1)
            assessed.append(self._assess(drafts[0], clip))
            if not assessed[-1].doubtful:
                return assessed[-1]
        return max(assessed, key=lambda each: (not each.repeats, each.draft.log_probability))

    def _assess(self, draft: Draft, clip: Clip) -> AssessedDraft:
        text = self._backend.vocabulary.decode(draft.tokens)
        endless = len(draft.tokens) >= max_tokens(clip.seconds)
        repeats = endless or token_spans.repeats_itself(text)
        unlikely = draft.log_probability < token_spans.LOG_PROBABILITY
        return AssessedDraft(draft, repeats, not no_speech(draft) and (repeats or unlikely))


def max_tokens(seconds: float) -> int:
    """More tokens than anybody speaks in this time: a draft of that length is a loop."""
    return round(TOKENS_A_SECOND * seconds) + TOKENS_EXTRA


def no_speech(draft: Draft) -> bool:
    """Whether the window has no speech, by the rule of OpenAI's whisper/transcribe.py."""
    return (
        draft.no_speech > token_spans.NO_SPEECH
        and draft.log_probability < token_spans.LOG_PROBABILITY
    )
