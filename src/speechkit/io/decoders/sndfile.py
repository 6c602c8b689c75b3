"""libsndfile: WAV, FLAC, Ogg, MP3, AIFF and two dozen more.

It reads as many frames as a header states and no more, so the unread rest of a file is examined.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from speechkit.errors import AudioUnreadable
from speechkit.io.decoders.flac import ends_with_sample
from speechkit.io.decoders.headers import stated_end
from speechkit.io.decoders.ogg import has_several, is_chained
from speechkit.io.decoders.trailing_data import is_trailer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 30.0  # seconds decoded at once: bounds the memory of long, many-channel recordings
# Seconds: libsndfile is off after a seek into the last page of an Ogg file. A page holds 255
# packets at most, which is less than this at any usual rate.
OGG_PREROLL = 10.0
UNKNOWN = 1 << 62  # frames; libsndfile says its greatest number where a header states none
MISREAD = ("W64", "VOC")  # float samples as integers, and headers of blocks as samples
STATED = ("WAV", "WAVEX", "AIFF")  # whose header states the bytes of sound
GUESSED = ("MP3", "MPEG")  # whose header may state no length, which is then guessed


class Sndfile:
    """An open file. `frames`: the number stated by its header; `about`: one that may be a guess."""

    flags: frozenset[str] = frozenset()

    def __init__(self, path: str, descriptor: int, file: Any) -> None:
        self._path = path
        self._descriptor = descriptor
        self._file = file
        self._can_seek: bool = file.seekable()
        # Otherwise each read ends in a seek, at which an MP3 loses the bits of its next frame.
        file.seekable = lambda: False
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        self.about: int | None = file.frames
        self._format: str = file.format
        self.is_guess = self._format in GUESSED or (
            self._format in STATED and file.subtype.startswith(GUESSED)
        )
        self.frames = None if self.is_guess else self.about

    @classmethod
    def open(cls, path: str, descriptor: int) -> Sndfile | None:
        """Open the file; None where libsndfile can't read it, misreads it, or knows no end."""
        import soundfile

        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            file = soundfile.SoundFile(descriptor, closefd=False)
        except RuntimeError:
            return None
        decoder = cls(path, descriptor, file)
        several = decoder._format == "OGG" and has_several(descriptor)
        if file.frames >= UNKNOWN or decoder._format in MISREAD or several:
            file.close()
            return None
        return decoder

    @property
    def is_seekable(self) -> bool:
        return self._can_seek

    def close(self) -> None:
        self._file.close()

    def blocks(self, start: int, count: int | None) -> Iterator[NDArray[np.float32]]:
        """``[frames, channels]`` float32, from frame ``start``, ``count`` frames (None: all)."""
        left = max(0, self._file.frames - start)
        if count is not None:
            left = min(left, count)
        step = int(BLOCK * self.rate)
        try:
            if start and left:
                self._seek(start)
            while left:
                size = min(step, left)
                block = self._file.read(size, dtype="float32", always_2d=True)
                if len(block):
                    yield block
                left -= size
                if len(block) < size:
                    break
            if self._can_seek:  # empties libsndfile's buffer
                self._file.seek(self._file.tell())
        except RuntimeError as e:
            raise AudioUnreadable(f"{self._path}: corrupt audio data ({e})") from e

    def ends_where_stated(self) -> bool:
        """Whether the last frame is there and is the last thing in the file.

        Nothing is decoded where the format tells it without.
        """
        if not self.about:
            return False
        if self._format == "FLAC" and ends_with_sample(self._descriptor, self.about):
            return True
        if self._format == "OGG":
            return not is_chained(self._descriptor)
        end = stated_end(self._descriptor)
        if end and end > os.fstat(self._descriptor).st_size:
            return False
        if end and self.frames and self._format in STATED:
            return is_trailer(self._descriptor, end)
        return self.seeks_to_the_end()

    def seeks_to_the_end(self) -> bool:
        """As `ends_where_stated`, by decoding the last frame."""
        try:
            self._file.seek((self.about or 0) - 1)
            return len(self._file.read(1)) == 1 and self.has_read_all()
        except RuntimeError:
            return False

    def has_read_all(self) -> bool:
        """Whether nothing but tags follows the position of the last read, nor another Ogg file."""
        if self._format == "OGG" and is_chained(self._descriptor):
            return False
        position = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        return is_trailer(self._descriptor, position)

    def _seek(self, start: int) -> None:
        before = min(start, int(OGG_PREROLL * self.rate)) if self._format == "OGG" else 0
        self._file.seek(start - before)
        if before:
            self._file.read(before, dtype="float32")
