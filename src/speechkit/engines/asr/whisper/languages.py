"""The language in which a clip is decoded: the requested one, or the one of its utterance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from speechkit.engines.protocols import EACH, language_names
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from speechkit.engines.asr.whisper.vocabulary import Vocabulary
    from speechkit.engines.protocols import Clip

ENOUGH = 0.8  # as much speech as in the fullest clip of an utterance: enough to detect its language
SURE = 0.5  # probability of a language, below which another clip is examined
MAX_WITNESSES = 3  # clips examined for an utterance

Shares = dict[str, float]  # the probability of each language


@dataclass(frozen=True, slots=True)
class LanguageOption:
    """The value of ``--language``: ``allowed`` codes, none for all of the checkpoint's.

    ``each``: the language of every clip is detected separately.
    """

    allowed: tuple[str, ...] = ()
    each: bool = False

    @classmethod
    def parse(cls, text: str | None, vocabulary: Vocabulary) -> LanguageOption:
        """Parse a code, several separated by commas, ``each``, or None. Raise `UsageError`."""
        names = language_names(text)
        if text is not None and not names:
            raise UsageError("--language: a code such as en, several (de,en), or each")
        each = EACH in names
        codes = [vocabulary.language(name) for name in names if name != EACH]
        return cls(tuple(dict.fromkeys(codes)), each)

    @property
    def fixed(self) -> str | None:
        return self.allowed[0] if len(self.allowed) == 1 else None

    def likeliest(self, shares: Shares) -> tuple[str, float]:
        """The likeliest of the allowed languages, with its probability among them."""
        among = {code: shares.get(code, 0.0) for code in self.allowed or shares}
        best = max(among, key=lambda code: among[code])
        return best, among[best] / (sum(among.values()) or 1.0)


@dataclass(slots=True)
class Spoken:
    """The language of an utterance, None until it is detected, and its ``clips``."""

    clips: Sequence[Clip]
    language: str | None = None
    _witnesses: list[Clip] = field(default_factory=list)

    def witnesses(self) -> list[Clip]:
        """The clips to examine: the first one that is full of speech, then by amount of speech."""
        if not self._witnesses:
            most = max(clip.speech for clip in self.clips)
            by_speech = sorted(self.clips, key=lambda clip: clip.speech, reverse=True)
            first = next(clip for clip in self.clips if clip.speech >= ENOUGH * most)
            rest = [clip for clip in by_speech if clip is not first]
            self._witnesses = [first, *rest][:MAX_WITNESSES]
        return self._witnesses

    def settle(self, option: LanguageOption, shares_of: Callable[[Clip], Shares]) -> str:
        """Examine clip after clip until the language is certain; else take the likeliest."""
        if self.language is None:
            votes: Counter[str] = Counter()
            for clip in self.witnesses():
                code, share = option.likeliest(shares_of(clip))
                votes[code] += share  # type: ignore[assignment]
                if share >= SURE:
                    break
            self.language = votes.most_common(1)[0][0]
        return self.language
