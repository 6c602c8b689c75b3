"""Where the audio of a stream comes from: stdin, a file or a microphone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from speechkit.errors import SourceFailed, UsageError, UtteranceError
from speechkit.io.decoders.decoder_choice import MAX_RATE, MIN_RATE

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

MAX_CHANNELS = 64

SampleFormat = Literal["s16", "f32"]
Pace = Literal["1", "max"]


class NoAudio(UsageError):
    """Nothing came in."""


class Source(ABC):
    """One stream of audio.

    ``name``: for messages. ``seconds``: its length, as far as its header tells. ``remarks``:
    sentences on what was odd and is no error; it grows while the audio is read. ``is_live``: its
    audio is lost unless it is taken as it comes.
    """

    name: str
    seconds: float | None = None
    remarks: deque[str]
    is_live: bool = False

    @abstractmethod
    def blocks(self) -> Iterator[Waveform]:
        """Blocks of any length at 16 kHz, ``[samples]``.

        After the last good one raise `SourceFailed` where the source broke off, and `UsageError`
        where no audio came (`NoAudio`) or it is not of a kind that can be read.
        """


class RepeatableSource(Source):
    """A source that can be read anew."""

    @abstractmethod
    def skip(self, samples: int) -> None:
        """Let `blocks` begin after so many samples."""

    @abstractmethod
    def between(self, start: int, end: int) -> Iterator[Waveform]:
        """Some of the same samples at once, as they are in `blocks`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """``rate`` in Hz, ``channels`` and ``sample_format`` of raw PCM on stdin; without a rate stdin
    is a WAV. ``channels`` also of a microphone. ``pace``: how fast a file is read, as it would be
    played or as fast as it is transcribed. Raise `UsageError` for what can't be."""

    rate: int | None = None
    channels: int | None = None
    sample_format: SampleFormat | None = None
    pace: Pace = "max"

    def __post_init__(self) -> None:
        _require_within("rate", self.rate, MIN_RATE, MAX_RATE, " Hz")
        _require_within("channels", self.channels, 1, MAX_CHANNELS)


def _require_within(option: str, value: int | None, least: int, most: int, unit: str = "") -> None:
    if value is not None and not least <= value <= most:
        raise UsageError(f"--{option} {value}: it has to be {least} to {most}{unit}")


@contextmanager
def source_errors() -> Iterator[None]:
    """Turn the error of an utterance into a `SourceFailed`: a stream has no record for it."""
    try:
        yield
    except UtteranceError as e:
        raise SourceFailed(str(e)) from e
