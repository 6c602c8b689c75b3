"""Audio in: any file to mono float32 at one rate; slices decode only their own frames.

What becomes of odd files is decided here. Every channel count is mixed down by its mean, unless one
channel is asked for, or the mix cancels them: then the loudest is taken. NaN and infinite samples
are an error, not silence. A file is read to its end, wherever a header sees it. One that ends
before its header or its manifest line says is an error; some headers aren't believed (WAV, AIFF) or
only guess (MP3, Ogg): cut off, these decode to what is there unless the manifest states a longer
duration. Only the named file itself is read: play lists, which name others, are no audio.

Flags: ``header_disagrees`` (it states another length than was found), ``channels_cancel`` (the
loudest channel alone was taken), ``damaged`` (packets are missing or can't be decoded; silence
stands in their place), ``other_tracks`` (the one marked default was taken).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechkit.errors import (
    AudioEmpty,
    AudioInvalid,
    AudioNotFound,
    AudioTruncated,
    AudioUnreadable,
)
from speechkit.io.decoders.ffmpeg import Ffmpeg
from speechkit.io.decoders.headers import is_cut_short
from speechkit.io.decoders.sndfile import Sndfile
from speechkit.io.downmix import Mix, finite, resampled
from speechkit.io.file_names import unicode_hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLACK = 0.1  # seconds a file may be shorter than stated (rounded durations), or longer by padding
HEAD = 8192  # bytes in which an MP3's own header is looked for
MADE_UP = 0.25  # seconds, at most, that an MP3 encoder puts before and behind
RATES = (1_000, 768_000)  # Hz; what states another is no recording
KEPT = 1800.0  # seconds of a recording that are kept in memory; a longer one is long
STRETCH = 600.0  # seconds of a long one in memory at once; a multiple of every frame

Decoder = Sndfile | Ffmpeg


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file holds; ``duration`` in seconds, ``sample_rate`` in Hz."""

    duration: float
    sample_rate: int
    channels: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """``offset`` and ``duration`` in seconds (None: to the end), ``sample_rate`` in Hz (None: the
    file's own), ``channel`` from 1 (None: all, mixed), ``track`` by number or language."""

    path: str
    offset: float = 0.0
    duration: float | None = None
    sample_rate: int | None = None
    channel: int | None = None
    track: str | None = None


def probe(path: str, *, track: str | None = None) -> AudioInfo:
    """What a file holds. It is decoded only where its header doesn't tell its length, or where the
    frame that should be the last one isn't the last thing in the file.

    Raises an ``Audio…`` error naming the file.
    """
    wanted = _Wanted(path, track=track)
    with _opened(path) as descriptor:
        with closing(_decoder(descriptor, wanted)) as decoder:
            if _is_as_stated(descriptor, wanted, decoder):
                assert decoder.about
                seconds, flags = decoder.about / decoder.rate, tuple(sorted(decoder.flags))
                return AudioInfo(round(seconds, 6), decoder.rate, decoder.channels, flags)
        take = _listen(descriptor, wanted)
    flags = tuple(sorted(take.flags))
    return AudioInfo(round(take.seconds, 6), take.rate, take.channels, flags)


def estimated_seconds(path: str) -> float | None:
    """About how long a recording is, where its header allows a guess; nothing is decoded.

    Raises an ``Audio…`` error.
    """
    with _opened(path) as descriptor, closing(_decoder(descriptor, _Wanted(path))) as decoder:
        return decoder.about / decoder.rate if decoder.about else None


class Audio:
    """What is heard in a file, or a part of one: ``seconds`` of it, float32 in -1..1, mono.

    A long recording is not kept: it is decoded once more, stretch by stretch.
    """

    def __init__(self, wanted: _Wanted, take: _Take) -> None:
        assert wanted.sample_rate
        self._take = take
        self.samples = take.length
        self.seconds = round(self.samples / wanted.sample_rate, 3)
        self.flags = tuple(sorted(take.flags))

    @property
    def waveform(self) -> NDArray[np.float32]:
        """All of it, ``[samples]``."""
        stretches = list(self.stretches())
        return stretches[0] if len(stretches) == 1 else np.concatenate(stretches)

    @property
    def is_long(self) -> bool:
        return self._take.waveform is None

    def stretches(self) -> Iterator[NDArray[np.float32]]:
        """All of it in order, ``[samples]``: a long one in stretches of `STRETCH` seconds."""
        if self._take.waveform is not None:
            yield self._take.waveform[: self.samples]
            return
        left = self.samples
        for stretch in self._take.stretches():
            yield stretch[:left]
            left -= len(stretch)
            if left <= 0:
                return


def load(
    path: str,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    sample_rate: int,
    channel: int | None = None,
    track: str | None = None,
) -> Audio:
    """What is heard from ``offset`` for ``duration`` seconds (None: to the end).

    ``channel`` counts from 1; None mixes all channels down. ``track``: which of a film's, by its
    number from 1 or by its language; None takes the one marked default. All is decoded once, so
    that what is wrong with it is known. Raises an ``Audio…`` error naming the file.
    """
    wanted = _Wanted(path, offset, duration, sample_rate, channel, track)
    with _opened(path) as descriptor:
        return Audio(wanted, _listen(descriptor, wanted))


class _Take:
    """One decoder's pass over what is wanted: what it found, and the samples unless they are many.

    ``channel``: the only one taken, from 1; None mixes all.
    """

    def __init__(self, decoder: Decoder, wanted: _Wanted, channel: int | None) -> None:
        if channel is not None and channel > decoder.channels:
            raise AudioInvalid(
                f"{wanted.path}: has {decoder.channels} channels, no channel {channel}"
            )
        self.rate = decoder.rate
        self.channels = decoder.channels
        self.start = round(wanted.offset * self.rate)
        self.count: int | None = None
        if wanted.duration is not None:
            self.count = max(1, round(wanted.duration * self.rate))
        self.frames = 0
        self.length = 0  # samples at the wanted rate
        self.mix = Mix(channel, self.rate)
        self.waveform: NDArray[np.float32] | None = None
        self._kind = type(decoder)
        self._path, self._track = wanted.path, wanted.track
        self._wanted_rate = wanted.sample_rate or self.rate
        self._hear(decoder)
        self.flags = set(decoder.flags)

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    @property
    def is_short(self) -> bool:
        """Whether less was there than was asked for."""
        return self.count is not None and self.frames < self.count - SLACK * self.rate

    def stretches(self) -> Iterator[NDArray[np.float32]]:
        """What was heard, decoded once more: ``[samples]`` of `STRETCH` seconds, but the last."""
        with _opened(self._path) as descriptor:
            decoder: Decoder | None = None
            if self._kind is Sndfile:
                decoder = Sndfile.open(self._path, descriptor)
            with closing(decoder or Ffmpeg(self._path, descriptor, self._track)) as decoder:
                yield from self._stretches(decoder)

    def _hear(self, decoder: Decoder) -> None:
        samples: bytearray | None = bytearray()  # grows in place: never in memory twice
        for piece in self._pieces(decoder):
            self.length += len(piece)
            if samples is not None:
                samples += piece.data
                if self.length > KEPT * self._wanted_rate:
                    samples = None
        self.waveform = None if samples is None else np.frombuffer(samples, np.float32)

    def _stretches(self, decoder: Decoder) -> Iterator[NDArray[np.float32]]:
        most = 4 * round(STRETCH * self._wanted_rate)  # bytes
        samples = bytearray()
        for piece in self._pieces(decoder):
            samples += piece.data
            while len(samples) > most:
                yield np.frombuffer(bytes(memoryview(samples)[:most]), np.float32)
                samples = samples[most:]
        yield np.frombuffer(samples, np.float32)

    def _pieces(self, decoder: Decoder) -> Iterator[NDArray[np.float32]]:
        self.frames = 0
        blocks = decoder.blocks(self.start, self.count)
        mixed = finite(map(self.mix, blocks), self._path, self.start, self.rate)
        yield from resampled(self._counted(mixed), self.rate, self._wanted_rate)

    def _counted(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            self.frames += len(block)
            yield block


def _listen(descriptor: int, wanted: _Wanted) -> _Take:
    """Decodes what is wanted, by whichever decoder reads it to its end."""
    take, stated = _to_the_end(descriptor, wanted, wanted.channel)
    if take.mix.cancels:
        take, stated = _to_the_end(descriptor, wanted, take.mix.loudest)
        take.flags.add("channels_cancel")
    if take.frames == 0:
        if wanted.offset:
            raise AudioTruncated(f"{wanted.path}: ends before the offset of {wanted.offset:g} s")
        raise AudioEmpty(f"{wanted.path}: holds no samples")
    expected = take.count / take.rate if take.count else (stated or take.seconds)
    if take.seconds < expected - SLACK:
        raise AudioTruncated(
            f"{wanted.path}: {expected:.2f} s expected from {wanted.offset:g} s on, "
            f"only {take.seconds:.2f} s there"
        )
    if take.seconds > expected + SLACK:
        take.flags.add("header_disagrees")
    elif take.seconds > expected:  # padding of the codec's last frame
        take.length = round(expected * take.length / take.seconds)
        take.frames = round(expected * take.rate)
    return take


def _to_the_end(
    descriptor: int, wanted: _Wanted, channel: int | None
) -> tuple[_Take, float | None]:
    """What libsndfile hears or, where it leaves bytes unread or stops at damage, ffmpeg, if that
    is more; and the seconds from the offset on that the header states for certain."""
    with closing(_decoder(descriptor, wanted)) as decoder:
        stated = decoder.frames / decoder.rate - wanted.offset if decoder.frames else None
        if isinstance(decoder, Ffmpeg):
            return _Take(decoder, wanted, channel), stated
        states = not decoder.is_guess or _counts_frames(descriptor)
        less: _Take | None = None
        damage: AudioUnreadable | None = None
        try:
            less = _Take(decoder, wanted, channel)
            if _has_all(descriptor, decoder, wanted, less):
                return less, stated
        except AudioUnreadable as e:
            damage = e
    more: _Take | None = None
    with (
        suppress(AudioUnreadable, AudioInvalid),
        closing(Ffmpeg(wanted.path, descriptor, wanted.track)) as other,
    ):
        more = _Take(other, wanted, channel)
    if less is None:
        if more is None or more.frames == 0:
            assert damage
            raise damage
        more.flags.add("damaged")
        return more, stated
    if more is None or more.seconds <= less.seconds + SLACK:
        less.flags.add("header_disagrees")  # what it leaves is no sound, or in no decoder's reach
        return less, stated
    if states:
        more.flags.add("header_disagrees")
    return more, stated


def _counts_frames(descriptor: int) -> bool:
    """Whether an MP3 has a header that states its length, which else is guessed."""
    head = os.pread(descriptor, HEAD, 0)
    return b"Xing" in head or b"Info" in head


def _is_as_stated(descriptor: int, wanted: _Wanted, decoder: Decoder) -> bool:
    """Whether `about` can be believed without decoding. The packets of MP3 are counted: to seek in
    it is as slow, and its decoder complains."""
    if not (isinstance(decoder, Sndfile) and decoder.is_guess):
        return decoder.ends_where_stated()
    if not _counts_frames(descriptor):
        return False
    try:
        with closing(Ffmpeg(wanted.path, descriptor, wanted.track)) as other:
            seconds = other.seconds_of_packets()
    except AudioUnreadable:
        return False
    return abs(seconds - (decoder.about or 0) / decoder.rate) <= MADE_UP


def _has_all(descriptor: int, decoder: Sndfile, wanted: _Wanted, take: _Take) -> bool:
    """Whether nothing of what is wanted was left unread. What a header misstates beside is
    flagged."""
    end = take.start + take.frames
    slack = SLACK * take.rate
    if wanted.duration is None:
        is_guess_too_long = decoder.frames is None and end < (decoder.about or 0) - slack
        if is_guess_too_long or is_cut_short(descriptor):
            take.flags.add("header_disagrees")
        return decoder.has_read_all() and end >= (decoder.frames or 0) - slack
    if take.is_short:
        return decoder.seeks_to_the_end()
    reaches_the_end = end >= (decoder.about or 0) - slack
    if reaches_the_end and not decoder.has_read_all() and not decoder.seeks_to_the_end():
        take.flags.add("header_disagrees")
    return True


def _decoder(descriptor: int, wanted: _Wanted) -> Decoder:
    """The one to begin with."""
    decoder: Decoder | None = None
    if wanted.track in (None, "1"):
        decoder = Sndfile.open(wanted.path, descriptor)
    decoder = decoder or Ffmpeg(wanted.path, descriptor, wanted.track)
    if not RATES[0] <= decoder.rate <= RATES[1]:
        decoder.close()
        raise AudioInvalid(
            f"{wanted.path}: has a sample rate of {decoder.rate} Hz; "
            f"{RATES[0]} to {RATES[1]} Hz can be read"
        )
    return decoder


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """The file's descriptor, which both libraries get: any name and any suffix will do."""
    _require_regular(path)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except OSError as e:
        raise AudioUnreadable(f"{path}: {(e.strerror or str(e)).lower()}") from e
    with file:
        yield file.fileno()


def _require_regular(path: str) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError) as e:
        dangling = Path(path).is_symlink()
        what = "a link to a file that is not there" if dangling else "no such file"
        raise AudioNotFound(f"{path}: {what}{unicode_hint(path)}") from e
    except OSError as e:
        raise AudioUnreadable(f"{path}: {e.strerror}") from e
    if stat.S_ISDIR(status.st_mode):
        raise AudioNotFound(f"{path}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioUnreadable(f"{path}: is not a regular file")
    if status.st_size == 0:
        raise AudioEmpty(f"{path}: the file is empty")
