"""In which language a clip is decoded: what was asked for, or what its utterance is heard to be."""

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

ENOUGH = (
    0.8  # of the most speech that a clip of the utterance holds: such a clip tells the language
)
SURE = 0.5  # probability of a language, below which further clips are asked
WITNESSES = 3  # clips that are asked at most

Shares = dict[str, float]  # the probability of each language


@dataclass(frozen=True, slots=True)
class LanguageOption:
    """What ``--language`` says: ``allowed`` codes, none for all of the checkpoint's, and whether
    ``each`` clip is detected by itself."""

    allowed: tuple[str, ...] = ()
    each: bool = False

    @classmethod
    def parse(cls, text: str | None, vocabulary: Vocabulary) -> LanguageOption:
        """A code, several with commas between them, ``each``, or None. Raises `UsageError`."""
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
        """Of the allowed languages, with its probability among them."""
        among = {code: shares.get(code, 0.0) for code in self.allowed or shares}
        best = max(among, key=lambda code: among[code])
        return best, among[best] / (sum(among.values()) or 1.0)


@dataclass(slots=True)
class Spoken:
    """An utterance's language, once it is known, and the ``clips`` that tell it."""

    clips: Sequence[Clip]
    language: str | None = None
    _witnesses: list[Clip] = field(default_factory=list)

    def witnesses(self) -> list[Clip]:
        """The clips to ask, the first that is full of speech before those with less."""
        if not self._witnesses:
            most = max(clip.speech for clip in self.clips)
            by_speech = sorted(self.clips, key=lambda clip: clip.speech, reverse=True)
            first = next(clip for clip in self.clips if clip.speech >= ENOUGH * most)
            rest = [clip for clip in by_speech if clip is not first]
            self._witnesses = [first, *rest][:WITNESSES]
        return self._witnesses

    def settle(self, option: LanguageOption, shares_of: Callable[[Clip], Shares]) -> str:
        """Asks one clip after the other until the language is sure, or likeliest by all."""
        if self.language is None:
            heard: Counter[str] = Counter()
            for clip in self.witnesses():
                code, share = option.likeliest(shares_of(clip))
                heard[code] += share  # type: ignore[assignment]
                if share >= SURE:
                    break
            self.language = heard.most_common(1)[0][0]
        return self.language
