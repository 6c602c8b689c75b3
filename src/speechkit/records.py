"""The values that flow between the layers. Times are seconds, waveforms 16 kHz mono float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import east_asian_width

WIDE = 3  # letters' worth of a character that stands for a syllable or a word
DIGIT = 4  # letters' worth of a digit: 1813 is eighteen thirteen

#: What one line of a manifest holds: JSON keys in their order, unknown ones included.
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word; ``start`` and ``end`` in seconds, ``confidence`` in 0..1.

    ``spaced``: a space stands between it and the word before. ``chars``: its characters, or
    whatever tokens its model writes, with their times.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None
    spaced: bool = True
    chars: tuple[Word, ...] = ()


def text_of(words: Iterable[Word]) -> str:
    """The words with the spaces between them."""
    return "".join(" " * word.spaced + word.text for word in words).strip()


def size_of(text: str) -> int:
    """How long a text is to say, in letters of an alphabet."""
    return sum(
        DIGIT if one.isdigit() else WIDE if east_asian_width(one) in "WF" else 1
        for one in text
        if one.isalnum()
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech in seconds from the recording's beginning, with its text if known.

    ``units``: what it says in discrete units. ``flags`` name doubts about its text. ``extra``: the
    keys that the input's segment carries, such as its speaker.
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
    """What an ASR engine heard in one clip; times are relative to the clip's start.

    ``segments`` in order of time, none where nothing was said.
    """

    segments: tuple[Segment, ...] = ()
    language: str | None = None

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments if segment.text)


@dataclass(frozen=True, slots=True)
class Units:
    """What an utterance says in discrete units, none followed by itself, and for how many frames
    each. The length of a frame is the engine's hop."""

    units: tuple[int, ...]
    durations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One input: a recording or a slice of one.

    ``index`` is its position in the input, ``audio`` an absolute path, ``offset`` and ``duration``
    are seconds (``duration`` None: to the end), ``record`` the manifest line it came from,
    ``written`` the path as that line has it.
    """

    index: int
    audio: str
    offset: float = 0.0
    duration: float | None = None
    record: Record = field(default_factory=dict)
    written: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything found in one audio file, as the text formats render it.

    ``name`` is its path below the output folder without suffix (``monday/talk``); ``duration`` in
    seconds; ``segments`` in order of time. A segment without text is plain speech (VAD).
    ``utterances``: those of its utterances that are known in discrete units, whole.
    """

    name: str
    duration: float
    segments: tuple[Segment, ...] = ()
    utterances: tuple[Segment, ...] = ()
