"""The values that layers exchange. Times are in seconds, waveforms are 16 kHz mono float32."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import east_asian_width

WIDE = 3  # letters that count for a character of a syllable or a word
DIGIT = 4  # letters that count for a digit: 1813 is eighteen thirteen
PUNCTUATION = string.punctuation + "。？！、，…“”«»"

#: A line of a manifest: JSON keys in their order, including unknown ones.
Record = dict[str, Any]

#: An utterance by its index or, with a number, a part of it.
TaskKey = tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word; ``start`` and ``end`` in seconds, ``confidence`` in 0..1.

    ``spaced``: a space separates it from the word before. ``chars``: its characters, or the tokens
    of its model, with their times.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None
    spaced: bool = True
    chars: tuple[Word, ...] = ()

    @property
    def bare(self) -> str:
        """Its text without case and punctuation, by which it is the same word when heard again."""
        return self.text.casefold().strip(PUNCTUATION)


def text_of(words: Iterable[Word]) -> str:
    """The text of the words, with the spaces between them."""
    return "".join(" " * word.spaced + word.text for word in words).strip()


def size_of(text: str) -> int:
    """The spoken length of a text, in letters of an alphabet."""
    return sum(
        DIGIT if char.isdigit() else WIDE if east_asian_width(char) in "WF" else 1
        for char in text
        if char.isalnum()
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, with its text if known; times from the beginning of the recording.

    ``units``: its discrete units. ``flags``: doubts about its text. ``extra``: keys carried over
    from the input's segment, such as its speaker.
    """

    start: float
    end: float
    text: str | None = None
    words: tuple[Word, ...] = ()
    confidence: float | None = None
    units: tuple[int, ...] = ()
    language: str | None = None
    flags: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The result of an ASR engine for one clip; times from the start of the clip.

    ``segments`` in order of time; empty if nothing was said.
    """

    segments: tuple[Segment, ...] = ()
    language: str | None = None

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments if segment.text)


@dataclass(frozen=True, slots=True)
class Units:
    """The discrete units of an utterance, and their durations in frames.

    No unit follows itself. The length of a frame is the engine's hop.
    """

    units: tuple[int, ...]
    durations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Division:
    """How a long utterance is divided: part n lies between ``edges`` n and n + 1, in seconds of it.

    ``known``: what its parts and the whole result need to know of all of it, in JSON. ``file``: the
    stamp of its file, by which a later run notices another one.
    """

    edges: tuple[float, ...]
    known: Record
    file: str = ""

    @property
    def parts(self) -> int:
        return len(self.edges) - 1


@dataclass(frozen=True, slots=True)
class Part:
    """Part ``number``, from 0, of a long utterance. Its result is one JSON object."""

    division: Division
    number: int

    @property
    def seconds(self) -> float:
        start, end = self.division.edges[self.number : self.number + 2]
        return end - start

    @property
    def is_last(self) -> bool:
        return self.number + 1 == self.division.parts


@dataclass(frozen=True, slots=True)
class Utterance:
    """One input: a recording or a slice of one.

    ``index``: its position in the input. ``audio``: an absolute path. ``offset`` and ``duration``
    in seconds; ``duration`` is None up to the end of the file. ``record``: its manifest line.
    ``written``: the path as that line has it. ``part``: set if this is a part of a long utterance,
    which has an offset and a duration of its own.
    """

    index: int
    audio: str
    offset: float = 0.0
    duration: float | None = None
    record: Record = field(default_factory=dict)
    written: str = ""
    part: Part | None = None

    @property
    def key(self) -> TaskKey:
        return self.index, self.part.number if self.part else None


@dataclass(frozen=True, slots=True)
class Recording:
    """All results of one audio file, for the text formats.

    ``name``: its path below the output folder without suffix (``monday/talk``). ``duration`` in
    seconds. ``segments`` in order of time; a segment without text is plain speech (VAD).
    ``utterances``: its utterances with discrete units, one segment each.
    """

    name: str
    duration: float
    segments: tuple[Segment, ...] = ()
    utterances: tuple[Segment, ...] = ()
