"""Silero VAD v6 (MIT) through onnxruntime, many streams at once. No torch.

The weights come from the faster-whisper wheel; the graph is rebuilt (`network`), which takes a
third of the time for a single stream, and less for many.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineMissing

try:
    import onnx
    from onnx import numpy_helper

    from speechkit.engines.onnx_session import session
    from speechkit.engines.vad.silero.network import CONTEXT, HOP, STATE, WINDOW, build_network
except ImportError as error:
    raise EngineMissing(
        "Silero VAD needs onnx and onnxruntime: run `pip install onnx onnxruntime`."
    ) from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

    Array = NDArray[np.float32]

# Started cold, the network misses a tenth of the words that begin with the waveform. Warmed up on
# the first windows, mirrored, it misses a fiftieth, and claims no speech where none is.
FRAMES_BEFORE = 2
# The network hears speech begin and end a frame late: measured on labelled speech, onsets and
# offsets come 33 ms late alike, on cut-out words 20 ms.
FRAMES_LATE = 1
MAX_STREAMS = 128  # in one call
CALL_WINDOWS = 256  # windows in one call, about: fast, and small beside any waveform
STEP = 4  # windows of a stream in one call, a multiple of


class SileroVad:
    """A VadEngine with frames of 32 ms, about 16 µs of one core each.

    A stream's probabilities are bit for bit the same alone, in any company and in any order: no
    row of a matrix product depends on the others, and element-wise functions are always given
    multiples of ``STEP`` values, never a vector's odd rest. Raises EngineMissing where
    onnxruntime, onnx or faster-whisper's model file is not installed.
    """

    hop = HOP / SAMPLE_RATE

    def __init__(self) -> None:
        network = build_network(_weights()).SerializeToString()
        self._session = session(network, lengths_vary=True)

    def probabilities(self, waveforms: Sequence[Waveform]) -> list[Array]:
        answers = [np.empty(FRAMES_BEFORE + -(-len(w) // HOP), np.float32) for w in waveforms]
        longest_first = sorted(range(len(answers)), key=lambda i: -len(answers[i]))
        for first in range(0, len(answers), MAX_STREAMS):
            streams = longest_first[first : first + MAX_STREAMS]
            self._fill([waveforms[i] for i in streams], [answers[i] for i in streams])
        return [_shifted(answer) for answer in answers]

    def _fill(self, waveforms: Sequence[Waveform], answers: Sequence[Array]) -> None:
        """Compute the ``answers`` of streams that are sorted by length, the longest first."""
        hidden = cell = np.zeros((1, len(answers), STATE), np.float32)
        done = 0
        while active := sum(len(answer) > done for answer in answers):
            left = len(answers[0]) - done
            steps = max(min(CALL_WINDOWS // active, left + STEP - 1) // STEP, 1) * STEP
            probabilities, hidden, cell = self._session.run(
                None,
                {
                    "windows": _windows(waveforms[:active], done, steps).reshape(-1, WINDOW),
                    "shape": np.array([steps, active, STATE]),
                    "hidden": hidden[:, :active],
                    "cell": cell[:, :active],
                },
            )
            for stream, answer in enumerate(answers[:active]):
                part = answer[done : done + steps]
                part[:] = probabilities[: len(part), stream]
            done += steps


def _windows(waveforms: Sequence[Waveform], first: int, steps: int) -> Array:
    """[steps, streams, WINDOW] from window ``first`` on; window 0 is the first of the warm-up.

    A waveform is mirrored before its beginning and followed by zeros.
    """
    audio = np.zeros((len(waveforms), CONTEXT + steps * HOP), np.float32)
    begin = (first - FRAMES_BEFORE) * HOP - CONTEXT
    before = max(-begin, 0)
    for row, waveform in zip(audio, waveforms, strict=True):
        part = waveform[max(begin, 0) : begin + len(row)]
        row[before : before + len(part)] = part
        mirrored = waveform[1 : 1 + before][::-1]
        row[before - len(mirrored) : before] = mirrored
    views = np.lib.stride_tricks.sliding_window_view(audio, WINDOW, axis=1)[:, ::HOP]
    return np.ascontiguousarray(views.transpose(1, 0, 2))


def _shifted(answer: Array) -> Array:
    """The probability of each frame; the last frames, which have none, repeat the last one."""
    frames = answer[FRAMES_BEFORE:]
    return np.concatenate((frames[FRAMES_LATE:], frames[-1:]))


def _weights() -> dict[str, Array]:
    """The published model's parameters by name. Raise `EngineMissing` where it is not installed."""
    package = importlib.util.find_spec("faster_whisper")  # found, not imported: that takes seconds
    if package is None or package.origin is None:
        raise EngineMissing(
            "Silero VAD takes its model from faster-whisper, which is not installed: run "
            "`pip install faster-whisper`."
        )
    path = Path(package.origin).parent / "assets" / "silero_vad_v6.onnx"
    if not path.is_file():
        raise EngineMissing(
            f"Silero VAD's model is missing at {path}: run `pip install 'faster-whisper>=1.2.1'`."
        )
    return {p.name: numpy_helper.to_array(p) for p in onnx.load(path).graph.initializer}
