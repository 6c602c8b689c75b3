"""A file, decoded from its beginning to its end block by block."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import (
    AudioEmpty,
    AudioInvalid,
    AudioTruncated,
    AudioUnreadable,
    UsageError,
)
from speechkit.io.audio import SLACK, estimated_seconds
from speechkit.io.decoders.decoder_choice import AudioRequest, Decoder, open_audio, open_decoder
from speechkit.io.decoders.ffmpeg import Ffmpeg
from speechkit.io.decoders.headers import is_cut_short
from speechkit.io.decoders.sndfile import Sndfile
from speechkit.io.file_names import shown, unicode_hint
from speechkit.serving.sources.conversion import Conversion
from speechkit.serving.sources.source import RepeatableSource, source_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

PACED = 0.1  # seconds of a block of a file that is read as it would be played


class AudioFile(RepeatableSource):
    """Any file that `asr` takes. ``paced``: read as fast as it would be played.

    Unlike `io.audio.load` it decodes only once, so that its faults are known when they are reached.
    Raise `UsageError` where there is no such file, `SourceFailed` where it can't be decoded.
    """

    def __init__(self, path: str, *, paced: bool) -> None:
        if not Path(path).exists():
            raise UsageError(f"{shown(path)}: no such file{unicode_hint(path)}")
        if not Path(path).is_file():
            raise UsageError(
                f"{shown(path)}: is no file; a stream takes one, or a pipe as - (stdin)"
            )
        self.name = path
        with source_errors():
            self.seconds = estimated_seconds(path)
        self.remarks: deque[str] = deque()
        self._paced = paced
        self._skipped = 0

    def skip(self, samples: int) -> None:
        self._skipped = samples

    def blocks(self) -> Iterator[Waveform]:
        blocks = self.between(self._skipped, None)
        return paced(blocks) if self._paced else blocks

    def between(self, start: int, end: int | None) -> Iterator[Waveform]:
        """What is before ``start`` is decoded, too: the rest is then the same, bit for bit."""
        at = 0
        for block in self._decoded():
            if end is not None and at >= end:
                return
            part = block[max(0, start - at) : end and end - at]
            if len(part):
                yield part
            at += len(block)

    def _decoded(self) -> Iterator[Waveform]:
        request = AudioRequest(path=self.name)
        with (
            source_errors(),
            open_audio(self.name) as descriptor,
            closing(open_decoder(descriptor, request)) as decoder,
        ):
            frames = self._frames(descriptor, decoder)
            yield from Conversion(self.name, decoder.rate, self.remarks).waveform(frames)
            if "damaged" in decoder.flags:
                self._say_damaged()
            if is_cut_short(descriptor):
                self.remarks.append(f"{self.name}: ends before its header says")

    def _frames(self, descriptor: int, decoder: Decoder) -> Iterator[NDArray[np.float32]]:
        """Blocks ``[frames, channels]``.

        Raise an ``Audio…`` error where that is not all, after what there is.
        """
        frames = 0
        for block in self._by_both(descriptor, decoder):
            frames += len(block)
            yield block
        if not frames:
            raise AudioEmpty(f"{self.name}: holds no samples")
        if _lacks_frames(decoder, frames):
            raise AudioTruncated(
                f"{self.name}: {(decoder.frames or 0) / decoder.rate:.2f} s expected, "
                f"only {frames / decoder.rate:.2f} s there"
            )

    def _by_both(self, descriptor: int, decoder: Decoder) -> Iterator[NDArray[np.float32]]:
        """Blocks of libsndfile as far as it reads, then those of ffmpeg, if any."""
        frames = 0
        damage: AudioUnreadable | None = None
        try:
            for block in decoder.blocks(0, None):
                frames += len(block)
                yield block
        except AudioUnreadable as e:
            damage = e
        if isinstance(decoder, Sndfile) and (
            damage or _lacks_frames(decoder, frames) or not decoder.has_read_all()
        ):
            for block in self._by_ffmpeg(descriptor, frames, decoder.rate):
                if damage:
                    damage = None
                    self._say_damaged()
                yield block
        if damage:
            raise damage

    def _by_ffmpeg(self, descriptor: int, start: int, rate: int) -> Iterator[NDArray[np.float32]]:
        """Blocks from the frame ``start`` on; none where ffmpeg hears no more either."""
        with (
            suppress(AudioUnreadable, AudioInvalid),
            closing(Ffmpeg(self.name, descriptor)) as decoder,
        ):
            blocks = decoder.blocks(start, None) if decoder.rate == rate else iter(())
            first = next(blocks, None)
            if first is not None and len(first) > SLACK * rate:
                yield first
                yield from blocks

    def _say_damaged(self) -> None:
        self.remarks.append(f"{self.name}: is damaged; silence may stand for what is missing")


def _lacks_frames(decoder: Decoder, frames: int) -> bool:
    """Whether the header states for certain that there are more."""
    return frames < (decoder.frames or 0) - SLACK * decoder.rate


def paced(blocks: Iterator[Waveform]) -> Iterator[Waveform]:
    """The blocks in pieces, each at the moment when its last sample would have been heard."""
    began: float | None = None
    heard = 0
    size = round(PACED * SAMPLE_RATE)
    for block in blocks:
        began = time.monotonic() if began is None else began
        for start in range(0, len(block), size):
            piece = block[start : start + size]
            heard += len(piece)
            time.sleep(max(0.0, began + heard / SAMPLE_RATE - time.monotonic()))
            yield piece
