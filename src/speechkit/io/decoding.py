"""Decodes a file to its end with whichever decoder hears most, and flags what headers misstate."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechkit.errors import AudioEmpty, AudioInvalid, AudioTruncated, AudioUnreadable
from speechkit.io.decoders.decoder_choice import (
    AudioRequest,
    Decoder,
    Observer,
    open_audio,
    open_decoder,
)
from speechkit.io.decoders.ffmpeg import Ffmpeg
from speechkit.io.decoders.headers import is_cut_short
from speechkit.io.decoders.sndfile import Sndfile
from speechkit.io.downmix import Downmix
from speechkit.io.resampling import require_finite, resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLACK = 0.1  # seconds a file may be shorter than stated (rounded durations), or longer by padding
MP3_HEADER = 8192  # bytes in which an MP3's own header is looked for
MP3_PADDING = 0.25  # seconds, at most, that an MP3 encoder puts before and behind
MP3_CUT, MP3_CUT_SHARE = 1.0, 0.05  # seconds and share that an MP3 lacks if it was cut off
KEPT = 1800.0  # seconds of a recording that are kept in memory; a longer one is long
STRETCH = 600.0  # seconds of a long one in memory at once; a multiple of every frame


class Decoding:
    """One pass of a decoder over the requested part: its length, and its samples unless too many.

    ``channel``: the only one taken, from 1; None mixes all. ``length``: samples at the requested
    rate. ``waveform``: of a long recording only the first `STRETCH`. ``observer``: the one that the
    request has made, which has seen the pass. ``is_cut_short``: the header states more, but is not
    trusted. Raise `AudioInvalid` where there is no such channel.
    """

    def __init__(self, decoder: Decoder, request: AudioRequest, channel: int | None) -> None:
        if channel is not None and channel > decoder.channels:
            raise AudioInvalid(
                f"{request.path}: has {decoder.channels} channels, no channel {channel}"
            )
        self.rate = decoder.rate
        self.channels = decoder.channels
        self.start = round(request.offset * self.rate)
        self.count: int | None = None
        if request.duration is not None:
            self.count = max(1, round(request.duration * self.rate))
        self.frames = 0
        self.length = 0
        self.mix = Downmix(channel, self.rate)
        self.peak = 0.0
        self.is_long = False
        self.is_cut_short = False
        self.waveform: NDArray[np.float32]
        self._kind = type(decoder)
        self._seekable = decoder.is_seekable
        self._path, self._track = request.path, request.track
        self._output_rate = request.sample_rate or self.rate
        self.observer: Observer | None = request.observe(self.rate) if request.observe else None
        self._decode(decoder)
        self.flags = set(decoder.flags)

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    @property
    def reading(self) -> Reading:
        return Reading(self._kind is Ffmpeg, self.mix.channel, self._seekable)

    @property
    def is_short(self) -> bool:
        """Whether less was decoded than requested."""
        return self.count is not None and self.frames < self.count - SLACK * self.rate

    def stretches(self) -> Iterator[NDArray[np.float32]]:
        """Decode once more: ``[samples]`` of `STRETCH` seconds each, the last one shorter."""
        with _decoder_of(self.reading, self._path, self._track) as decoder:
            yield from self._stretches(decoder)

    def _decode(self, decoder: Decoder) -> None:
        samples = bytearray()  # grows in place: never in memory twice
        for block in self._blocks(decoder, self.observer):
            self.length += len(block)
            if len(block):
                self.peak = max(self.peak, float(block.max()), -float(block.min()))
            if not self.is_long:
                samples += block.data
                if self.length > KEPT * self._output_rate:
                    self.is_long = True
                    samples = samples[: 4 * round(STRETCH * self._output_rate)]
        self.waveform = np.frombuffer(samples, np.float32)

    def _stretches(self, decoder: Decoder) -> Iterator[NDArray[np.float32]]:
        size = 4 * round(STRETCH * self._output_rate)  # bytes
        samples = bytearray()
        for block in self._blocks(decoder):
            samples += block.data
            while len(samples) > size:
                yield np.frombuffer(bytes(memoryview(samples)[:size]), np.float32)
                samples = samples[size:]
        yield np.frombuffer(samples, np.float32)

    def _blocks(
        self, decoder: Decoder, observer: Observer | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Mono blocks ``[samples]`` at the output rate."""
        self.frames = 0
        blocks = decoder.blocks(self.start, self.count)
        mixed = map(self.mix, _observed(blocks, observer) if observer else blocks)
        checked = require_finite(mixed, self._path, self.start, self.rate)
        yield from resampled(self._counted(checked), self.rate, self._output_rate)

    def _counted(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            self.frames += len(block)
            yield block


def _observed(
    blocks: Iterable[NDArray[np.float32]], observer: Observer
) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        observer.add(block)
        yield block


def decode(descriptor: int, request: AudioRequest) -> Decoding:
    """Decode the requested part. Raise an ``Audio…`` error where it is not all there."""
    decoding, stated = _decode_to_end(descriptor, request, request.channel)
    if decoding.mix.cancels:
        decoding, stated = _decode_to_end(descriptor, request, decoding.mix.loudest)
        decoding.flags.add("channels_cancel")
    if decoding.frames == 0:
        if request.offset:
            raise AudioTruncated(f"{request.path}: ends before the offset of {request.offset:g} s")
        raise AudioEmpty(f"{request.path}: holds no samples")
    expected = decoding.count / decoding.rate if decoding.count else (stated or decoding.seconds)
    if decoding.seconds < expected - SLACK:
        raise AudioTruncated(
            f"{request.path}: {expected:.2f} s expected from {request.offset:g} s on, "
            f"only {decoding.seconds:.2f} s there"
        )
    if decoding.seconds > expected + SLACK:
        decoding.flags.add("header_disagrees")
    elif decoding.seconds > expected:  # padding of the codec's last frame
        decoding.length = round(expected * decoding.length / decoding.seconds)
        decoding.frames = round(expected * decoding.rate)
    return decoding


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file was decoded: by ffmpeg or libsndfile, and the ``channel`` (None: all, mixed).

    ``seekable``: a part of it is decoded without all that comes before.
    """

    ffmpeg: bool
    channel: int | None
    seekable: bool


def decode_again(request: AudioRequest, reading: Reading) -> NDArray[np.float32]:
    """The samples of a part of a file that was decoded as ``reading`` before.

    Raise an ``Audio…`` error naming the file.
    """
    with _decoder_of(reading, request.path, request.track) as decoder:
        return Decoding(decoder, request, reading.channel).waveform


@contextmanager
def _decoder_of(reading: Reading, path: str, track: str | None) -> Iterator[Decoder]:
    with open_audio(path) as descriptor:
        decoder = None if reading.ffmpeg else Sndfile.open(path, descriptor)
        with closing(decoder or Ffmpeg(path, descriptor, track)) as opened:
            yield opened


def is_as_stated(descriptor: int, request: AudioRequest, decoder: Decoder) -> bool:
    """Whether the decoder's ``about`` can be believed without decoding.

    The packets of an MP3 are counted: seeking in it is as slow, and its decoder complains.
    """
    if not (isinstance(decoder, Sndfile) and decoder.is_guess):
        return decoder.ends_where_stated()
    if not _counts_frames(descriptor):
        return False
    try:
        with closing(Ffmpeg(request.path, descriptor, request.track)) as ffmpeg:
            seconds = ffmpeg.seconds_of_packets()
    except AudioUnreadable:
        return False
    return abs(seconds - (decoder.about or 0) / decoder.rate) <= MP3_PADDING


def _decode_to_end(
    descriptor: int, request: AudioRequest, channel: int | None
) -> tuple[Decoding, float | None]:
    """The decoding, and the seconds from the offset on that the header states for certain.

    libsndfile decodes it or, where it leaves bytes unread or stops at damage, ffmpeg, if that
    hears more.
    """
    with closing(open_decoder(descriptor, request)) as decoder:
        stated = decoder.frames / decoder.rate - request.offset if decoder.frames else None
        if isinstance(decoder, Ffmpeg):
            return Decoding(decoder, request, channel), stated
        is_certain = not decoder.is_guess or _counts_frames(descriptor)
        by_sndfile: Decoding | None = None
        damage: AudioUnreadable | None = None
        try:
            by_sndfile = Decoding(decoder, request, channel)
            if _has_all(descriptor, decoder, request, by_sndfile):
                return by_sndfile, stated
        except AudioUnreadable as e:
            damage = e
    by_ffmpeg = _decode_by_ffmpeg(descriptor, request, channel)
    if by_sndfile is None:
        if by_ffmpeg is None or by_ffmpeg.frames == 0:
            assert damage
            raise damage
        by_ffmpeg.flags.add("damaged")
        return by_ffmpeg, stated
    if by_ffmpeg is None or by_ffmpeg.seconds <= by_sndfile.seconds + SLACK:
        by_sndfile.flags.add("header_disagrees")  # the rest is no sound, or no decoder reads it
        return by_sndfile, stated
    if is_certain:
        by_ffmpeg.flags.add("header_disagrees")
    return by_ffmpeg, stated


def _decode_by_ffmpeg(
    descriptor: int, request: AudioRequest, channel: int | None
) -> Decoding | None:
    with (
        suppress(AudioUnreadable, AudioInvalid),
        closing(Ffmpeg(request.path, descriptor, request.track)) as decoder,
    ):
        return Decoding(decoder, request, channel)
    return None


def _counts_frames(descriptor: int) -> bool:
    """Whether an MP3 has a header that states its length, which is otherwise guessed."""
    head = os.pread(descriptor, MP3_HEADER, 0)
    return b"Xing" in head or b"Info" in head


def _has_all(descriptor: int, decoder: Sndfile, request: AudioRequest, decoding: Decoding) -> bool:
    """Whether all of the requested part was decoded. Flag a header that misstates the rest."""
    end = decoding.start + decoding.frames
    slack = SLACK * decoding.rate
    if request.duration is None:
        is_guess_too_long = decoder.frames is None and end < (decoder.about or 0) - slack
        decoding.is_cut_short = _is_cut_short(descriptor, decoder, end)
        if is_guess_too_long or decoding.is_cut_short:
            decoding.flags.add("header_disagrees")
        return decoder.has_read_all() and end >= (decoder.frames or 0) - slack
    if decoding.is_short:
        return decoder.seeks_to_the_end()
    if end >= (decoder.about or 0) - slack and not _ends_at_last_frame(decoder):
        decoding.flags.add("header_disagrees")
    return True


def _is_cut_short(descriptor: int, decoder: Sndfile, end: int) -> bool:
    """Whether the header states more: in bytes, or as an MP3 that counts its frames."""
    if decoder.frames is not None or not decoder.about:
        return is_cut_short(descriptor)
    missing = decoder.about - end
    least = max(MP3_CUT * decoder.rate, MP3_CUT_SHARE * decoder.about)
    return is_cut_short(descriptor) or (missing > least and _counts_frames(descriptor))


def _ends_at_last_frame(decoder: Sndfile) -> bool:
    return decoder.has_read_all() or decoder.seeks_to_the_end()
