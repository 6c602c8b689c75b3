"""Audio in: any file to mono float32 at one rate; slices decode only their own frames.

The treatment of odd files:

- All channels are mixed down to their mean, unless a single channel is asked for or the channels
  cancel each other; then the loudest is taken.
- NaN and infinite samples are an error, not silence.
- A file is read to its end, wherever its header puts that. A file that ends before its header or
  its manifest line says is an error. Some headers aren't trusted (WAV, AIFF) or only estimate (MP3,
  Ogg): truncated files of these kinds decode to what is there, unless the manifest states a longer
  duration.
- Only the named file itself is read. Play lists, which name other files, are no audio.

Flags: ``header_disagrees`` (the header states another length than was decoded),
``channels_cancel`` (only the loudest channel was taken), ``damaged`` (packets are missing or can't
be decoded; silence stands in their place), ``other_tracks`` (of several, the default was taken).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.io.decoders.decoder_choice import AudioRequest, Observer, open_audio, open_decoder
from speechkit.io.decoding import (
    SLACK,
    Decoding,
    Reading,
    decode,
    decode_again,
    is_as_stated,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SLACK",
    "Audio",
    "AudioInfo",
    "Reading",
    "estimated_seconds",
    "load",
    "load_again",
    "probe",
]


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The contents of a file; ``duration`` in seconds, ``sample_rate`` in Hz."""

    duration: float
    sample_rate: int
    channels: int
    flags: tuple[str, ...] = ()


def probe(path: str, *, track: str | None = None) -> AudioInfo:
    """The contents of a file.

    It is decoded only where its header doesn't tell its length, or where the frame that should be
    the last one isn't the last thing in the file. Raise an ``Audio…`` error naming the file.
    """
    request = AudioRequest(path=path, track=track)
    with open_audio(path) as descriptor:
        with closing(open_decoder(descriptor, request)) as decoder:
            if is_as_stated(descriptor, request, decoder):
                assert decoder.about
                seconds, flags = decoder.about / decoder.rate, tuple(sorted(decoder.flags))
                return AudioInfo(round(seconds, 6), decoder.rate, decoder.channels, flags)
        decoding = decode(descriptor, request)
    flags = tuple(sorted(decoding.flags))
    return AudioInfo(round(decoding.seconds, 6), decoding.rate, decoding.channels, flags)


def estimated_seconds(path: str) -> float | None:
    """The approximate length of a recording, None where its header gives none; decodes nothing.

    Raise an ``Audio…`` error.
    """
    request = AudioRequest(path=path)
    with open_audio(path) as descriptor, closing(open_decoder(descriptor, request)) as decoder:
        return decoder.about / decoder.rate if decoder.about else None


class Audio:
    """The sound of a file or a part of it, mono float32 in -1..1, `samples` or `seconds` long.

    ``peak``: its largest absolute sample. ``reading``: by which `load_again` decodes parts of it.
    ``observer``: of the decoding, where `load` was given one. ``is_cut_short``: the file ends
    before its header says, which is not trusted. A long recording is not kept in memory: it is
    decoded once more, stretch by stretch.
    """

    def __init__(self, decoding: Decoding, sample_rate: int) -> None:
        self._decoding = decoding
        self.samples = decoding.length
        self.seconds = round(self.samples / sample_rate, 3)
        self.flags = tuple(sorted(decoding.flags))
        self.peak = decoding.peak
        self.reading = decoding.reading
        self.observer = decoding.observer
        self.is_cut_short = decoding.is_cut_short

    @property
    def waveform(self) -> NDArray[np.float32]:
        """All of it, ``[samples]``."""
        stretches = list(self.stretches())
        return stretches[0] if len(stretches) == 1 else np.concatenate(stretches)

    @property
    def is_long(self) -> bool:
        return self._decoding.is_long

    @property
    def beginning(self) -> NDArray[np.float32]:
        """What of it is in memory: all, or the first `STRETCH` seconds of a long one."""
        return self._decoding.waveform[: self.samples]

    def stretches(self) -> Iterator[NDArray[np.float32]]:
        """All of it in order, ``[samples]``: a long one in stretches of `STRETCH` seconds."""
        if not self.is_long:
            yield self.beginning
            return
        remaining = self.samples
        for stretch in self._decoding.stretches():
            yield stretch[:remaining]
            remaining -= len(stretch)
            if remaining <= 0:
                return


def load(
    path: str,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    sample_rate: int,
    channel: int | None = None,
    track: str | None = None,
    observe: Callable[[int], Observer] | None = None,
) -> Audio:
    """Decode from ``offset`` on, for ``duration`` seconds (None: to the end).

    ``channel`` counts from 1; None mixes all channels down. ``track`` is the number, from 1, or the
    language of a film's audio track; None takes the default one. ``observe``: makes an observer,
    from the rate in Hz, that sees the blocks as they are decoded. All of it is decoded once, so
    that its faults are known. Raise an ``Audio…`` error naming the file.
    """
    request = AudioRequest(
        path=path,
        offset=offset,
        duration=duration,
        sample_rate=sample_rate,
        channel=channel,
        track=track,
        observe=observe,
    )
    with open_audio(path) as descriptor:
        return Audio(decode(descriptor, request), sample_rate)


def load_again(
    path: str,
    reading: Reading,
    *,
    offset: float,
    duration: float,
    sample_rate: int,
    track: str | None,
) -> NDArray[np.float32]:
    """The samples of a part of a file that was loaded before, ``[samples]``.

    ``reading``: that of the `Audio`. Raise an ``Audio…`` error naming the file.
    """
    request = AudioRequest(
        path=path, offset=offset, duration=duration, sample_rate=sample_rate, track=track
    )
    return decode_again(request, reading)
