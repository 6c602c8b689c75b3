"""Where the audio of a stream comes from: stdin, a file or a microphone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from speechkit.errors import SourceFailed, UsageError, UtteranceError

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

STDIN = "-"
MICROPHONE = "microphone"
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64

SampleFormat = Literal["s16", "f32"]
Pace = Literal["1", "max"]


class Source(Protocol):
    """One stream of audio.

    ``name``: for messages. ``seconds``: its length, as far as its header tells. ``remarks``:
    sentences on what was odd and is no error; it grows while the audio is read. ``is_live``: its
    audio is lost unless it is taken as it comes. ``is_repeatable``: it can be read anew.
    """

    name: str
    seconds: float | None
    remarks: deque[str]
    is_live: bool
    is_repeatable: bool

    def skip(self, samples: int) -> None:
        """Begin after so many samples (at 16 kHz); only for a repeatable one."""
        ...

    def blocks(self) -> Iterator[Waveform]:
        """Blocks of any length at 16 kHz, ``[samples]``.

        After the last good one raise `SourceFailed` where the source broke off, and `UsageError`
        where no audio came or it is not of a kind that can be read.
        """
        ...


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


def open_source(spec: str, options: SourceOptions) -> Source:
    """The source that ``spec`` names: ``-``, a file, ``microphone`` or ``microphone:NAME``.

    Raise `UsageError` where there is none or the options are of another kind of source,
    `SourceFailed` for a file that can't be read, and `EngineMissing` where the microphone's
    library is not installed.
    """
    if spec == STDIN:
        from speechkit.serving.sources.stdin import Stdin

        return Stdin(options)
    _refuse_options_of_stdin(spec, options)
    kind, _, device = spec.partition(":")
    if kind == MICROPHONE:
        from speechkit.serving.sources.microphone import Microphone

        return Microphone(device or None, options.channels)
    from speechkit.serving.sources.file import AudioFile

    if options.channels is not None:
        raise UsageError("--channels is of raw PCM on stdin, and of a microphone")
    return AudioFile(spec, paced=options.pace == "1")


def _refuse_options_of_stdin(spec: str, options: SourceOptions) -> None:
    for name in ("rate", "sample_format"):
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is of raw PCM on stdin (-), and {spec} states its own")


@contextmanager
def source_errors() -> Iterator[None]:
    """Turn the error of an utterance into a `SourceFailed`: a stream has no record for it."""
    try:
        yield
    except UtteranceError as e:
        raise SourceFailed(str(e)) from e
