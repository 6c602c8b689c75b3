"""A set of utterances with references, on which models are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field

from speechkit.errors import UsageError
from speechkit.io.inputs import Inputs
from speechkit.records import Record, Utterance
from speechkit.scoring.normalise import normaliser
from speechkit.scoring.results import ScoreOptions

SHOWN = 3  # utterances named in an error


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """``name``: of its transcripts. ``language``: as asr's option takes it; with several, asr
    detects that of each utterance among them; None for all that the model knows.
    ``has_languages``: every line states its own."""

    name: str
    sources: tuple[str, ...]
    language: str | None
    has_languages: bool

    @classmethod
    def read(
        cls, name: str, sources: tuple[str, ...], language: str | None, known: Set[str]
    ) -> EvaluationSet:
        """``language``: of lines without one. ``known``: languages that the model can be told.

        Raise `UsageError` where an utterance has no reference, or no reference has words.
        """
        where = ", ".join(sources)
        lines = _References(normaliser(ScoreOptions().normaliser))
        with Inputs(sources) as inputs:
            inputs.scan()  # all malformed lines are named
            for utterance in inputs:
                lines.add(utterance)
        if lines.lacking:
            shown = ", ".join(lines.lacking[:SHOWN]) + ", …" * (len(lines.lacking) > SHOWN)
            raise UsageError(
                f"{where}: {len(lines.lacking)} of {lines.count} utterances have no `text` to "
                f"compare with ({shown}); give it to them, or take them out"
            )
        if not lines.has_words:
            raise UsageError(f"{where}: there are no words in it to compare with")
        spoken = {name or (language or "").lower() for name in lines.languages}
        told = ",".join(sorted(spoken)) if spoken <= known else None
        return cls(name, sources, told, "" not in lines.languages)

    def with_languages(self, transcripts: Iterable[Record]) -> Iterator[Record]:
        """The transcripts with the languages of the set, where asr has put those that it heard."""
        with Inputs(self.sources) as inputs:
            for utterance, record in zip(inputs, transcripts, strict=True):
                yield {**record, "lang": utterance.record.get("lang")}


@dataclass(slots=True)
class _References:
    """What the lines of a set have, of which ``words`` takes away all but the words.

    ``lacking``: the audio of those without `text`. ``languages``: "" of a line without one.
    """

    words: Callable[[str], str]
    count: int = 0
    lacking: list[str] = field(default_factory=list)
    has_words: bool = False
    languages: set[str] = field(default_factory=set)

    def add(self, utterance: Utterance) -> None:
        text = utterance.record.get("text")
        self.count += 1
        if text is None:
            self.lacking.append(utterance.audio)
        elif not self.has_words:
            self.has_words = bool(self.words(text))
        self.languages.add((utterance.record.get("lang") or "").lower())
