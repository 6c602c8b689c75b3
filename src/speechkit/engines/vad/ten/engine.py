"""TEN VAD through its C library. Its licence forbids using it to compete with its vendor, Agora."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.engines.vad.late_frames import LateFrames
from speechkit.errors import EngineFailed, EngineMissing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

HOP = 256  # samples; the library's own step: called with 160 it repeats these frames' answers
# The library answers for a frame two frames later: its window of 768 samples is centred one frame
# back, and its network looks one frame ahead. Measured: onsets and offsets come 28 to 35 ms late.
FRAMES_LATE = 2
BLOCK = 4096 * HOP  # samples converted to int16 at once: a minute
BINARIES = {  # by system and machine, below the package's folder
    ("Linux", "x86_64"): "lib/Linux/x64/libten_vad.so",
    ("Darwin", "arm64"): "lib/macOS/ten_vad.framework/Versions/A/ten_vad",
    ("Darwin", "x86_64"): "lib/macOS/ten_vad.framework/Versions/A/ten_vad",
    ("Windows", "AMD64"): "lib/Windows/x64/ten_vad.dll",
}


class TenVad:
    """A VadEngine with frames of 16 ms, about 90 µs of one core each.

    The library's state can't be reset, so each waveform gets a handle of its own (0.2 ms): what
    came before never shows in a result. Raises EngineMissing where the package or libc++ is not
    installed.
    """

    hop = HOP / SAMPLE_RATE

    def __init__(self) -> None:
        self._library = _library()

    def probabilities(self, waveforms: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        streams = [(self.stream(), waveform) for waveform in waveforms]
        return [np.concatenate((one.feed(waveform), one.finish())) for one, waveform in streams]

    def stream(self) -> TenStream:
        return TenStream(self._library)


class TenStream:
    """A VadStream: a frame is known 32 ms after its end.

    The library's half a megabyte is freed by `finish`, or with the stream itself.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._process = library.ten_vad_process
        self._handle = ctypes.c_void_p()
        if library.ten_vad_create(ctypes.byref(self._handle), HOP, 0.5) != 0:
            raise EngineFailed("TEN VAD could not be started: its library refused a new handle.")
        self._free = weakref.finalize(self, library.ten_vad_destroy, ctypes.byref(self._handle))
        self._rest = np.zeros(0, np.int16)  # of a frame that is not complete
        self._frames = LateFrames(FRAMES_LATE)

    def feed(self, waveform: Waveform) -> NDArray[np.float32]:
        blocks = [waveform[first : first + BLOCK] for first in range(0, len(waveform), BLOCK)]
        known = [self._frames.known(self._answers(to_int16(block))) for block in blocks]
        return np.concatenate([np.zeros(0, np.float32), *known])

    def finish(self) -> NDArray[np.float32]:
        known = self._frames.known(self._answers(np.zeros(-len(self._rest) % HOP, np.int16)))
        self._free()
        return np.concatenate((known, self._frames.last()))

    def _answers(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """The library's answers to the frames that are complete with these samples."""
        audio = np.concatenate((self._rest, samples))
        answers = np.empty(len(audio) // HOP, np.float32)
        self._rest = audio[len(answers) * HOP :].copy()
        process, handle, flag = self._process, self._handle, ctypes.c_int32()
        flag_at = ctypes.addressof(flag)  # speech or not at the library's own threshold: not used
        frames = _addresses(audio[: len(answers) * HOP], HOP)
        for frame, answer in zip(frames, _addresses(answers, 1), strict=True):
            process(handle, frame, HOP, answer, flag_at)
        return answers


def to_int16(waveform: Waveform) -> NDArray[np.int16]:
    """Samples times 32768, rounded and clipped: audio that was int16 comes back exactly."""
    scaled: Waveform = np.rint(waveform * np.float32(32768))
    return scaled.clip(-32768, 32767).astype(np.int16)


def _addresses(values: NDArray[Any], step: int) -> range:
    """The memory addresses of every ``step``-th value."""
    first = values.ctypes.data
    return range(first, first + values.nbytes, step * values.itemsize)


def _library() -> ctypes.CDLL:
    package = importlib.util.find_spec("ten_vad")
    if package is None or package.origin is None:
        raise EngineMissing(
            "TEN VAD is not installed: run `pip install ten-vad`, or take `--engine silero`."
        )
    binary = BINARIES.get((platform.system(), platform.machine()))
    if binary is None:
        raise EngineMissing(
            f"TEN VAD has no library for {platform.system()} on {platform.machine()}: "
            "take `--engine silero`, which works here."
        )
    try:
        library = ctypes.CDLL(str(Path(package.origin).parent / binary))
    except OSError as error:
        if "libc++" not in str(error):
            raise EngineMissing(
                f"TEN VAD's library can't be loaded ({error}): run `pip install --force-reinstall "
                "ten-vad`, or take `--engine silero`, which works without it."
            ) from error
        raise EngineMissing(
            "TEN VAD needs the system library libc++: run `apt-get install libc++1` or "
            "`conda install -c conda-forge libcxx`, or take `--engine silero`, which works "
            "without it."
        ) from error
    library.ten_vad_create.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_float]
    library.ten_vad_destroy.argtypes = [ctypes.c_void_p]
    library.ten_vad_process.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return library
