"""ffmpeg's decoders through PyAV, for files that libsndfile can't read, or not to their end.

Samples are on the clock that a player shows: a track that begins later than the file, and packets
that are missing or damaged, give silence of the same length. A stream that changes its rate comes
out at the rate that it began with.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from speechkit.errors import AudioInvalid, AudioUnreadable
from speechkit.io.decoders.clock import Clock, Timed, silence
from speechkit.io.decoders.headers import is_cut_short, stated_end
from speechkit.io.decoders.trailing_data import begins_again, has_unstated_sound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREROLL = 0.2  # seconds decoded before a slice: codecs with memory need some frames to settle
LAST_PACKET = 0.25  # seconds, at most, where a container doesn't state its length
PLANES = 8  # from this number on PyAV reads one plane too many, so samples are packed

#: ffmpeg's demuxers whose files state their length and can be entered anywhere; times to ~1 ms.
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
#: Those read from their beginning on. No others are allowed: play lists would open other files.
SEQUENTIAL = (
    *("aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "ape", "asf", "au", "avi", "caf", "dts"),
    *("eac3", "flac", "flv", "latm", "loas", "mp3", "mpeg", "mpegts", "ogg", "tak", "tta", "w64"),
    *("voc", "wav", "wv"),
)
#: Those whose packets have times; elsewhere times are counted from samples.
CLOCKED = (*INDEXED, "asf", "flac", "flv", "mpeg", "mpegts", "ogg")
#: Those whose header counts the frames, although the file may have been truncated since.
COUNTING = ("ape", "caf", "flv", "tak", "tta", "wav", "wv")
#: Those of which only the first of several joined files is read; others continue, page by page.
WHOLE = (*INDEXED, "asf", "avi", "caf", "flv", "tta", "w64", "voc", "wav")


class Ffmpeg:
    """An open file and one of its audio tracks: the requested one, or the default.

    ``track``: its number, from 1, or its language. Raise `AudioUnreadable`, and `AudioInvalid` for
    a track that does not exist.
    """

    def __init__(self, path: str, descriptor: int, track: str | None = None) -> None:
        import av

        av.logging.set_level(av.logging.PANIC)
        os.lseek(descriptor, 0, os.SEEK_SET)
        names = ",".join([*INDEXED, *SEQUENTIAL])
        options = {"protocol_whitelist": "file", "format_whitelist": names}
        self.flags: set[str] = set()
        if has_unstated_sound(descriptor):
            options["ignore_length"] = "1"  # which only the demuxer of WAV knows
            self.flags.add("header_disagrees")
        try:
            self._container: Any = av.open(f"file:/dev/fd/{descriptor}", options=options)
        except (av.error.FFmpegError, ValueError) as e:
            raise AudioUnreadable(f"{path}: not audio that can be decoded") from e
        self._path = path
        self._descriptor = descriptor
        self._read = 0  # bytes, up to the end of the packet that lies last in the file
        try:
            self._stream = self._chosen(track)
        except BaseException:
            self._container.close()
            raise
        self.rate: int = self._stream.codec_context.rate
        self.channels: int = self._stream.codec_context.channels
        self._stream.codec_context.thread_type = "NONE"
        self._indexed = self._container.format.name in INDEXED
        self._clocked = self._container.format.name in CLOCKED
        start = self._container.start_time  # of the first of all its streams
        self._start = 0.0 if start is None else start / av.time_base
        if track is None and len(self._container.streams.audio) > 1:
            self.flags.add("other_tracks")
        self.about = self._stated_frames()
        if self._start and self.about and self._container.format.name == "flac":
            self._start = 0.0  # the first frames, which the header counts, are damaged or gone
            self.flags.add("damaged")
        self.frames = self.about if self._indexed else None

    @property
    def is_seekable(self) -> bool:
        return self._indexed

    def close(self) -> None:
        self._container.close()

    def ends_where_stated(self) -> bool:
        """Whether the last packet ends where the file's index says, and no other file follows.

        Nothing is decoded.
        """
        import av

        if not self._indexed or not self.about or is_cut_short(self._descriptor):
            return False
        stated = self.about / self.rate
        base = self._stream.time_base
        end = 0.0
        try:
            self._container.seek(int((stated + self._start) / base), stream=self._stream)
            for packet in self._packets():
                if packet.pts is None:
                    continue
                before = end
                end = float((packet.pts + (packet.duration or 0)) * base) - self._start
                if end > stated + LAST_PACKET or end < before - LAST_PACKET:
                    return False
        except av.error.FFmpegError:
            return False
        return abs(end - stated) <= LAST_PACKET and not self._leaves_another()

    def seconds_of_packets(self) -> float:
        """The sum of the packets' durations; decode none. Raise `AudioUnreadable`."""
        import av

        try:
            ticks = sum(packet.duration or 0 for packet in self._container.demux(self._stream))
        except av.error.FFmpegError as e:
            raise AudioUnreadable(f"{self._path}: corrupt audio data ({e.strerror})") from e
        return float(ticks * self._stream.time_base)

    def _chosen(self, track: str | None) -> Any:
        import av

        streams = self._container.streams.audio
        if not streams:
            raise AudioUnreadable(f"{self._path}: holds no audio track")
        if track is None:
            default = av.stream.Disposition.default
            marked = (stream for stream in streams if stream.disposition & default)
            chosen = next(marked, streams[0])
        else:
            chosen = _by_name(streams, track)
            if chosen is None:
                names = (stream.language or "und" for stream in streams)
                tracks = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
                raise AudioInvalid(f"{self._path}: has no audio track {track}, only {tracks}")
        context = chosen.codec_context
        # A codec that is not known has no codec_context.
        if context is None or not context.rate or not context.channels:
            raise AudioUnreadable(f"{self._path}: not audio that can be decoded")
        return chosen

    def _stated_frames(self) -> int | None:
        """The number of frames that the header states.

        Matroska states the length of all its streams together, video included, but not of each.
        """
        import av

        seconds: Any = None
        if self._stream.duration:
            seconds = self._stream.duration * self._stream.time_base
            if self._indexed and self._stream.start_time is not None:
                late = self._stream.start_time * self._stream.time_base - self._start
                seconds += max(0.0, float(late))
        elif self._container.duration and len(self._container.streams) == 1:
            seconds = self._container.duration / av.time_base
        return None if seconds is None else round(seconds * self.rate)

    def blocks(self, start: int, count: int | None) -> Iterator[NDArray[np.float32]]:
        """As `Sndfile.blocks`."""
        import av

        end = math.inf if count is None else start + count
        try:
            yield from self._gathered(self._between(start, end))
        except av.error.FFmpegError as e:
            raise AudioUnreadable(f"{self._path}: corrupt audio data ({e.strerror})") from e

    def _between(self, start: int, end: float) -> Iterator[NDArray[np.float32]]:
        at = start
        for first, block in self._blocks_from(start):
            if first > at:  # decoding began within a gap
                self.flags.add("damaged")
                yield from silence(int(min(first, end)) - at, block, self.rate)
            if first >= end:
                return
            if first + len(block) > start:
                yield block[max(0, start - first) : int(min(end - first, len(block)))]
            at = max(start, first + len(block))
        if self._lacks_frames(at) or self._leaves_another():
            self.flags.add("header_disagrees")

    def _lacks_frames(self, end: int) -> bool:
        """Whether the header states more bytes than there are or, stating none, more frames."""
        if stated_end(self._descriptor) is not None:
            return is_cut_short(self._descriptor)
        if self._container.format.name not in COUNTING or self.about is None:
            return False
        return end < self.about - LAST_PACKET * self.rate

    def _leaves_another(self) -> bool:
        """Whether another file follows the end of this one, or the last packet.

        Of joined AVIs, ffmpeg also reads some of the second.
        """
        if self._container.format.name not in WHOLE:
            return False
        end = stated_end(self._descriptor)
        return begins_again(self._descriptor, min(self._read, end or self._read))

    def _gathered(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Blocks of about a second: those of codecs are so short that their overhead dominates."""
        import numpy as np

        held: list[NDArray[np.float32]] = []
        frames = 0
        for block in blocks:
            if held and (frames >= self.rate or block.shape[1] != held[0].shape[1]):
                yield np.concatenate(held)
                held, frames = [], 0
            held.append(block)
            frames += len(block)
        if held:
            yield np.concatenate(held)

    def _blocks_from(self, start: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Each block with the number of its first frame: all, or from shortly before ``start``."""
        near = start - int(PREROLL * self.rate)
        clock = Clock(self.rate, self.flags)
        for position, block in clock.place(self._decoded()):
            if self._indexed and clock.is_set and near > position:
                break
            yield position, block
        else:
            return
        seconds = near / self.rate + clock.zero + self._start
        self._container.seek(int(seconds / self._stream.time_base), stream=self._stream)
        yield from clock.place(self._decoded(), entered=True)

    def _packets(self) -> Iterator[Any]:
        for packet in self._container.demux(self._stream):
            if packet.pos is not None:
                self._read = max(self._read, packet.pos + packet.size)
            yield packet

    def _decoded(self) -> Iterator[Timed]:
        """The time of each block in seconds since the file's beginning, and its samples."""
        import av

        has_decoded = False
        broken: av.error.FFmpegError | None = None
        resample = _Resampler(self.rate)
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError as e:
                broken = e
                self.flags.add("damaged")
                continue
            for frame in frames:
                time = None
                if frame.pts is not None and self._clocked:
                    time = float(frame.pts * frame.time_base) - self._start
                for block in resample(frame):
                    has_decoded = True
                    yield time, block
        if broken and not has_decoded:
            raise broken


class _Resampler:
    """Frames of any kind to float32 ``[frames, channels]`` at one rate."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._kind: Any = None

    def __call__(self, frame: Any) -> Iterator[NDArray[np.float32]]:
        import av

        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:  # the previous resampler holds back less than a millisecond
            self._kind = kind
            self._is_planar = frame.layout.nb_channels < PLANES
            packing = "fltp" if self._is_planar else "flt"
            self._resampler = av.AudioResampler(format=packing, rate=self._rate)
        for piece in self._resampler.resample(frame):
            samples: Any = piece.to_ndarray()
            yield samples.T if self._is_planar else samples.reshape(-1, piece.layout.nb_channels)


def _by_name(streams: Any, track: str) -> Any:
    """The stream of a track's number or language; None where there is none."""
    if track.isdecimal():
        return streams[int(track) - 1] if 1 <= int(track) <= len(streams) else None
    named = (stream for stream in streams if (stream.language or "und") == track.lower())
    return next(named, None)
