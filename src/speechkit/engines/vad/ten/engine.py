"""TEN VAD through its C library. Its licence forbids using it to compete with its vendor, Agora."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineFailed, EngineMissing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

HOP = 256  # samples; the library's own step: called with 160 it repeats these frames' answers
# The library answers for a frame two frames later: its window of 768 samples is centred one frame
# back, and its network looks one frame ahead. Measured: onsets and offsets come 28 to 35 ms late.
FRAMES_LATE = 2
BLOCK_FRAMES = 4096  # converted to int16 at once: a minute
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
        return [self._frames(waveform) for waveform in waveforms]

    def _frames(self, waveform: Waveform) -> NDArray[np.float32]:
        answers = np.empty(-(-len(waveform) // HOP), np.float32)
        audio = np.empty(min(len(answers), BLOCK_FRAMES) * HOP, np.int16)
        process, flag = self._library.ten_vad_process, ctypes.c_int32()
        flag_at = ctypes.addressof(flag)  # speech or not at the library's own threshold: not used

        handle = ctypes.c_void_p()
        if self._library.ten_vad_create(ctypes.byref(handle), HOP, 0.5) != 0:
            raise EngineFailed("TEN VAD could not be started: its library refused a new handle.")
        try:
            for first in range(0, len(answers), BLOCK_FRAMES):
                block = answers[first : first + BLOCK_FRAMES]
                part = to_int16(waveform[first * HOP :][: len(audio)])
                audio[: len(part)] = part
                audio[len(part) :] = 0
                frames = _addresses(audio[: len(block) * HOP], HOP)
                results = _addresses(block, 1)
                for frame, answer in zip(frames, results, strict=True):
                    process(handle, frame, HOP, answer, flag_at)
        finally:
            self._library.ten_vad_destroy(ctypes.byref(handle))
        unanswered = min(FRAMES_LATE, len(answers))  # the last frames take the last answer
        return np.concatenate((answers[FRAMES_LATE:], np.repeat(answers[-1:], unanswered)))


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
