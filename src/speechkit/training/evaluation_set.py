"""A set of utterances with references, on which models are measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from speechkit.errors import UsageError
from speechkit.io.inputs import Inputs
from speechkit.records import Record
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
        if "-" in sources:
            raise UsageError(f"{name}: stdin can be read only once; name a file")
        words = normaliser(ScoreOptions().normaliser)
        count, lacking, has_words = 0, list[str](), False
        spoken = set[str]()
        has_languages = True
        with Inputs(sources) as inputs:
            inputs.scan()  # all malformed lines are named
            for utterance in inputs:
                record = utterance.record
                count += 1
                if record.get("text") is None:
                    lacking.append(utterance.audio)
                has_words = has_words or bool(words(record.get("text") or ""))
                spoken.add((record.get("lang") or language or "").lower())
                has_languages = has_languages and bool(record.get("lang"))
        shown = ", ".join(lacking[:SHOWN]) + (", …" if len(lacking) > SHOWN else "")
        where = ", ".join(sources)
        if lacking:
            raise UsageError(
                f"{where}: {len(lacking)} of {count} utterances have no `text` to compare with "
                f"({shown}); give it to them, or take them out"
            )
        if not has_words:
            raise UsageError(f"{where}: there are no words in it to compare with")
        told = ",".join(sorted(spoken)) if spoken <= known else None
        return cls(name, sources, told, has_languages)

    def with_languages(self, transcripts: Iterable[Record]) -> Iterator[Record]:
        """The transcripts with the languages of the set, where asr has put those that it heard."""
        with Inputs(self.sources) as inputs:
            for utterance, record in zip(inputs, transcripts, strict=True):
                yield {**record, "lang": utterance.record.get("lang")}
