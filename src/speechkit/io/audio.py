"""Audio in: any file to mono float32 at one rate; slices decode only their own frames.

What becomes of odd files is decided here. Every channel count is mixed down by its mean, unless
one channel is asked for. NaN and infinite samples are an error, not silence. A file that ends
before its header or its manifest line says is an error. Some headers aren't believed (WAV, AIFF) or
only guess (MP3, Ogg): cut off, these decode to what is there unless the manifest states a longer
duration. Only the named file itself is read: play lists, which name others, are no audio.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.errors import (
    AudioEmpty,
    AudioInvalid,
    AudioNotFound,
    AudioTruncated,
    AudioUnreadable,
)
from speechkit.io.names import hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 30.0  # seconds decoded at once: bounds the memory of long, many-channel recordings
SLACK = 0.1  # seconds a file may be shorter than stated (rounded durations), or longer by padding
PREROLL = 0.2  # seconds decoded before a slice: codecs with memory need some frames to settle
# Seconds: libsndfile is off after a seek into the last page of an Ogg file. A page holds 255
# packets at most, which is less than this at any usual rate.
OGG_PREROLL = 10.0

#: ffmpeg's demuxers whose files state their length and can be entered anywhere; times to ~1 ms.
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
#: Those read from their beginning on. No other is let in: play lists would open other files.
SEQUENTIAL = (
    *("aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "ape", "asf", "au", "avi", "caf", "dts"),
    *("eac3", "flac", "flv", "latm", "loas", "mp3", "mpeg", "mpegts", "ogg", "tak", "tta", "w64"),
    *("wav", "wv"),
)


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file's header says; ``duration`` in seconds, ``sample_rate`` in Hz."""

    duration: float
    sample_rate: int
    channels: int


def probe(path: str) -> AudioInfo:
    """The header of a file; it is decoded only where its header doesn't tell its length.

    Raises an ``Audio…`` error naming the file.
    """
    with _opened(path) as source:
        frames = source.frames
        if frames is None:
            frames = sum(len(block) for block in source.blocks(0, None))
        if frames <= 0:
            raise AudioEmpty(f"{path}: holds no samples")
        return AudioInfo(round(frames / source.rate, 6), source.rate, source.channels)


def estimated_seconds(path: str) -> float | None:
    """About how long a recording is, where its header allows a guess; nothing is decoded.

    Raises an ``Audio…`` error.
    """
    with _opened(path) as source:
        return source.about / source.rate if source.about else None


def load(
    path: str,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    sample_rate: int,
    channel: int | None = None,
) -> NDArray[np.float32]:
    """The samples from ``offset`` for ``duration`` seconds (None: to the end), mono.

    ``channel`` counts from 1; None mixes all channels down. Returns float32 ``[samples]`` in
    -1..1 at ``sample_rate``. Raises an ``Audio…`` error naming the file.
    """
    with _opened(path) as source:
        if channel is not None and channel > source.channels:
            raise AudioInvalid(f"{path}: has {source.channels} channels, no channel {channel}")
        start = round(offset * source.rate)
        count = None if duration is None else max(1, round(duration * source.rate))
        blocks = (_mono(block, channel) for block in source.blocks(start, count))
        finite = _finite(blocks, path, start, source.rate)
        waveform, decoded = _resample(finite, source.rate, sample_rate)
    if decoded == 0:
        if offset:
            raise AudioTruncated(f"{path}: ends before the offset of {offset:g} s")
        raise AudioEmpty(f"{path}: holds no samples")
    expected = count or (source.frames - start if source.frames else decoded)
    if decoded < expected - SLACK * source.rate:
        raise AudioTruncated(
            f"{path}: {expected / source.rate:.2f} s expected from {offset:g} s on, "
            f"only {decoded / source.rate:.2f} s there"
        )
    if expected < decoded <= expected + SLACK * source.rate:  # padding of the codec's last frame
        return waveform[: round(expected / source.rate * sample_rate)]
    return waveform


@contextmanager
def _opened(path: str) -> Iterator[_Sndfile | _Av]:
    """The file's decoder. Both libraries get the open file: any name and any suffix will do."""
    import soundfile

    _require_regular(path)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except OSError as e:
        raise AudioUnreadable(f"{path}: {(e.strerror or str(e)).lower()}") from e
    with file:
        source: _Sndfile | _Av
        try:
            source = _Sndfile(path, soundfile.SoundFile(file.fileno(), closefd=False))
        except RuntimeError:
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            source = _Av(path, f"file:/dev/fd/{file.fileno()}")
        try:
            yield source
        finally:
            source.close()


def _require_regular(path: str) -> None:
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError) as e:
        dangling = Path(path).is_symlink()
        what = "a link to a file that is not there" if dangling else "no such file"
        raise AudioNotFound(f"{path}: {what}{hint(path)}") from e
    except OSError as e:
        raise AudioUnreadable(f"{path}: {e.strerror}") from e
    if stat.S_ISDIR(status.st_mode):
        raise AudioNotFound(f"{path}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioUnreadable(f"{path}: is not a regular file")
    if status.st_size == 0:
        raise AudioEmpty(f"{path}: the file is empty")


def _mono(block: NDArray[np.float32], channel: int | None) -> NDArray[np.float32]:
    if channel is not None:
        return np.ascontiguousarray(block[:, channel - 1])
    if block.shape[1] == 1:
        return block[:, 0]
    mixed: NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
    return mixed


def _finite(
    blocks: Iterator[NDArray[np.float32]], path: str, start: int, rate: int
) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        finite = np.isfinite(block)
        if not finite.all():
            second = (start + int(np.argmin(finite))) / rate
            raise AudioInvalid(f"{path}: NaN or infinite samples, the first at {second:.2f} s")
        start += len(block)
        yield block


def _resample(
    blocks: Iterator[NDArray[np.float32]], rate: int, wanted: int
) -> tuple[NDArray[np.float32], int]:
    """The blocks as one waveform at the wanted rate, and how many frames they held."""
    samples = bytearray()  # grows in place: the waveform is never in memory twice
    decoded = 0
    if rate == wanted:
        for block in blocks:
            decoded += len(block)
            samples += np.ascontiguousarray(block).data
    else:
        import soxr

        stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
        for block in blocks:
            decoded += len(block)
            samples += stream.resample_chunk(np.ascontiguousarray(block)).data
        if decoded:
            samples += stream.resample_chunk(np.zeros(0, np.float32), last=True).data
    return np.frombuffer(samples, np.float32), decoded


class _Sndfile:
    """libsndfile: WAV, FLAC, Ogg, MP3, AIFF and two dozen more."""

    def __init__(self, path: str, file: Any) -> None:
        self._path = path
        self._file = file
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        guessed = file.format in ("MP3", "MPEG")
        self.about: int | None = file.frames
        self.frames = None if guessed else self.about

    def close(self) -> None:
        self._file.close()

    def blocks(self, start: int, count: int | None) -> Iterator[NDArray[np.float32]]:
        """``[frames, channels]`` float32, from frame ``start``, ``count`` frames (None: all)."""
        if start >= self._file.frames:
            return
        left = math.inf if count is None else count
        step = int(BLOCK * self.rate)
        try:
            if start:
                self._seek(start)
            while left > 0:
                wanted = min(step, left)
                block = self._file.read(wanted, dtype="float32", always_2d=True)
                if len(block):
                    yield block
                if len(block) < wanted:
                    return
                left -= wanted
        except RuntimeError as e:
            raise AudioUnreadable(f"{self._path}: corrupt audio data ({e})") from e

    def _seek(self, start: int) -> None:
        before = min(start, int(OGG_PREROLL * self.rate)) if self._file.format == "OGG" else 0
        self._file.seek(start - before)
        if before:
            self._file.read(before, dtype="float32")


class _Av:
    """ffmpeg's decoders through PyAV, for what libsndfile can't read."""

    def __init__(self, path: str, url: str) -> None:
        import av

        av.logging.set_level(av.logging.PANIC)
        names = ",".join([*INDEXED, *SEQUENTIAL])
        try:
            self._container: Any = av.open(
                url, options={"protocol_whitelist": "file", "format_whitelist": names}
            )
            self._stream: Any = self._container.streams.audio[0]
            self.rate: int = self._stream.codec_context.rate
            self.channels: int = self._stream.channels
        except (av.error.FFmpegError, AttributeError, IndexError, ValueError) as e:
            # A codec that is not known has no codec_context.
            raise AudioUnreadable(f"{path}: not audio that can be decoded") from e
        if not self.rate or not self.channels:
            raise AudioUnreadable(f"{path}: not audio that can be decoded")
        self._stream.codec_context.thread_type = "NONE"
        self._path = path
        self._indexed = self._container.format.name in INDEXED
        self.about = self._stated_frames()
        self.frames = self.about if self._indexed else None

    def close(self) -> None:
        self._container.close()

    def _stated_frames(self) -> int | None:
        """Matroska states the length of all its streams, video too, but not of each."""
        import av

        seconds: Any = None
        if self._stream.duration:
            seconds = self._stream.duration * self._stream.time_base
        elif self._container.duration and len(self._container.streams) == 1:
            seconds = self._container.duration / av.time_base
        return None if seconds is None else round(seconds * self.rate)

    def blocks(self, start: int, count: int | None) -> Iterator[NDArray[np.float32]]:
        """As `_Sndfile.blocks`."""
        import av

        end = math.inf if count is None else start + count
        try:
            for first, block in self._blocks_from(start):
                if first >= end:
                    return
                if first + len(block) > start:
                    yield block[max(0, start - first) : int(min(end - first, len(block)))]
        except av.error.FFmpegError as e:
            raise AudioUnreadable(f"{self._path}: corrupt audio data ({e.strerror})") from e

    def _blocks_from(self, start: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Each block and its first frame's number: all of them, or from shortly before ``start``.

        Frame 0 is the first one decoded. Containers round times and need not begin at 0, so the
        second block, whose number is known, tells how their times relate to it.
        """
        position = 0
        near = start - int(PREROLL * self.rate)
        for number, (time, block) in enumerate(self._decoded()):
            if number == 1 and self._indexed and near > position and time is not None:
                origin = time - position / self.rate
                break
            yield position, block
            position += len(block)
        else:
            return
        self._container.seek(
            int((near / self.rate + origin) / self._stream.time_base), stream=self._stream
        )
        for number, (time, block) in enumerate(self._decoded()):
            if number == 0:
                position = round(((time or 0.0) - origin) * self.rate)
            yield position, block
            position += len(block)

    def _decoded(self) -> Iterator[tuple[float | None, NDArray[np.float32]]]:
        """The time of each block in seconds by the container, and its samples."""
        import av

        planar = av.AudioResampler(format="fltp", rate=self.rate)
        for frame in self._container.decode(self._stream):
            time = None if frame.pts is None else float(frame.pts * self._stream.time_base)
            for piece in planar.resample(frame):
                yield time, piece.to_ndarray().T.astype(np.float32, copy=False)
