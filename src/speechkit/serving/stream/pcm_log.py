"""The audio of a pipe since the last state of its stream, so that a killed one can go on.

A folder holds it in pieces, float32 at 16 kHz, each named by the number of its first sample. A
block is written before it is heard.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import OutputFailed
from speechkit.io.atomic import output_errors
from speechkit.io.safe_open import open_append, open_regular
from speechkit.serving.sources.source import NoAudio, Source

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

SUFFIX = ".f32"
PIECE = 60 * SAMPLE_RATE  # samples, from which on the next piece begins
WIDTH = 4  # bytes of a sample


class PcmLog:
    """What a folder holds, and what `append` adds. ``end``: the sample of the stream after it.

    ``heard``: the sample at which the log begins if there is none yet. A sample that a kill has cut
    in two is dropped. Raise `OutputFailed` where the folder can't be written or a piece is missing.
    """

    def __init__(self, folder: Path, heard: int = 0) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._piece_begins = 0
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.end = self._mended() or heard

    def __enter__(self) -> PcmLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def append(self, waveform: Waveform) -> None:
        """Add all of it or, where the disk is full, nothing. Raise `OutputFailed`."""
        if self._file is None or self.end - self._piece_begins >= PIECE:
            self._begin_piece()
        assert self._file
        with output_errors(self._path(self._piece_begins)):
            left = memoryview(waveform.astype("<f4").tobytes())
            try:
                while left:
                    left = left[os.write(self._file.fileno(), left) :]
            except OSError:
                self._file.truncate(WIDTH * (self.end - self._piece_begins))
                raise
        self.end += len(waveform)

    def read(self, start: int, end: int | None = None) -> Iterator[Waveform]:
        """From the sample ``start`` up to ``end`` (None: its own), piece by piece, ``[samples]``.

        Raise `OutputFailed` where it holds less.
        """
        end = self.end if end is None else end
        at = start
        for begins, path in _pieces(self._folder):
            if begins > at or at >= end:
                break
            with output_errors(path), open_regular(path) as file:
                file.seek(WIDTH * (at - begins))
                waveform = np.frombuffer(file.read(WIDTH * (end - at)), "<f4").astype(np.float32)
            if not np.isfinite(waveform).all():
                raise OutputFailed(f"{path}: is damaged; --restart begins the stream anew")
            if len(waveform):
                at += len(waveform)
                yield waveform
        if at < end:
            raise self._gap(at, end)

    def forget(self, before: int) -> None:
        """Remove the pieces that end at the sample ``before`` or earlier."""
        pieces = _pieces(self._folder)
        for (_, path), (next_begins, _) in itertools.pairwise(pieces):
            if next_begins <= before:
                path.unlink(missing_ok=True)

    def recorded(self, source: Source, start: int) -> RecordedSource:
        """The source after what is in the log from the sample ``start`` on, and added to it."""
        return RecordedSource(self, source, start)

    def _mended(self) -> int:
        """Cut off half samples, and return the sample after the last one; 0 where there is none."""
        end = 0
        for begins, path in _pieces(self._folder):
            if end and begins != end:
                raise self._gap(end, begins)
            with open_append(path) as file:
                samples = os.fstat(file.fileno()).st_size // WIDTH
                file.truncate(WIDTH * samples)
            end = begins + samples
        return end

    def _gap(self, start: int, end: int) -> OutputFailed:
        return OutputFailed(
            f"{self._folder}: lacks the audio from {start / SAMPLE_RATE:.2f} to "
            f"{end / SAMPLE_RATE:.2f} s; --restart begins the stream anew"
        )

    def _begin_piece(self) -> None:
        if self._file:
            self._file.close()
        self._piece_begins = self.end
        path = self._path(self.end)
        with output_errors(path):
            self._file = open_append(path)

    def _path(self, begins: int) -> Path:
        return self._folder / f"{begins:012}{SUFFIX}"


class RecordedSource(Source):
    """What a log holds already, then another source, recorded as it is read.

    An empty pipe then ends the stream of the log.
    """

    def __init__(self, log: PcmLog, source: Source, start: int) -> None:
        self.name = source.name
        self.seconds = source.seconds
        self.is_live = source.is_live
        self.remarks = source.remarks
        self._log, self._source, self._start = log, source, start

    def blocks(self) -> Iterator[Waveform]:
        goes_on = self._log.end > 0
        yield from self._log.read(self._start)
        try:
            for block in self._source.blocks():
                self._log.append(block)
                yield block
        except NoAudio:
            if not goes_on:
                raise


def remove_log(folder: Path) -> None:
    """Remove the pieces of a log, and its folder unless it holds something else."""
    with suppress(OSError):
        for _, path in _pieces(folder):
            path.unlink()
        folder.rmdir()


def _pieces(folder: Path) -> list[tuple[int, Path]]:
    """The first sample and the file of each piece, in order."""
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    return [(int(path.stem), path) for path in paths if path.stem.isdecimal()]
