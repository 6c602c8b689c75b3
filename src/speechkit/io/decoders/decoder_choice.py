"""Opens an audio file and chooses the decoder to begin with."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from speechkit.errors import AudioEmpty, AudioInvalid, AudioNotFound, AudioUnreadable
from speechkit.io.decoders.ffmpeg import Ffmpeg
from speechkit.io.decoders.sndfile import Sndfile
from speechkit.io.file_names import unicode_hint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; a file that states another rate is no recording

Decoder = Sndfile | Ffmpeg


class Observer(Protocol):
    """Sees the blocks of one decoding as they are decoded, before they are mixed and judged."""

    def add(self, block: NDArray[np.float32]) -> None:
        """``block``: [frames, channels] at the file's own rate."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRequest:
    """The part of a file to decode, and how.

    ``offset`` and ``duration`` in seconds (None: to the end), ``sample_rate`` in Hz (None: the
    file's own), ``channel`` from 1 (None: all, mixed), ``track``: its number or language.
    ``observe``: makes the observer of a decoding from its rate in Hz; a file that several decoders
    have to try is decoded several times.
    """

    path: str
    offset: float = 0.0
    duration: float | None = None
    sample_rate: int | None = None
    channel: int | None = None
    track: str | None = None
    observe: Callable[[int], Observer] | None = None


@contextmanager
def open_audio(path: str) -> Iterator[int]:
    """The file's descriptor, which both libraries read from, so that any name and suffix will do.

    Raise an ``Audio…`` error naming the file.
    """
    _require_regular(path)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except OSError as e:
        raise AudioUnreadable(f"{path}: {(e.strerror or str(e)).lower()}") from e
    with file:
        yield file.fileno()


def open_decoder(descriptor: int, request: AudioRequest) -> Decoder:
    """libsndfile, or ffmpeg where libsndfile can't read the file or another track is asked for."""
    decoder: Decoder | None = None
    if request.track in (None, "1"):
        decoder = Sndfile.open(request.path, descriptor)
    decoder = decoder or Ffmpeg(request.path, descriptor, request.track)
    if not MIN_RATE <= decoder.rate <= MAX_RATE:
        decoder.close()
        raise AudioInvalid(
            f"{request.path}: has a sample rate of {decoder.rate} Hz; "
            f"{MIN_RATE} to {MAX_RATE} Hz can be read"
        )
    return decoder


def _require_regular(path: str) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError) as e:
        dangling = Path(path).is_symlink()
        reason = "a link to a file that is not there" if dangling else "no such file"
        raise AudioNotFound(f"{path}: {reason}{unicode_hint(path)}") from e
    except OSError as e:
        raise AudioUnreadable(f"{path}: {e.strerror}") from e
    if stat.S_ISDIR(status.st_mode):
        raise AudioNotFound(f"{path}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioUnreadable(f"{path}: is not a regular file")
    if status.st_size == 0:
        raise AudioEmpty(f"{path}: the file is empty")
