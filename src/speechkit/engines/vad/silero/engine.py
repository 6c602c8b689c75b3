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
from speechkit.engines.vad.late_frames import LateFrames
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
    import onnxruntime
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

    Array = NDArray[np.float32]

# Started cold, the network misses a tenth of the words that begin with the waveform. Warmed up on
# the first windows, mirrored, it misses a fiftieth, and claims no speech where none is.
FRAMES_BEFORE = 2
# The network hears speech begin and end a frame late: measured on labelled speech, onsets and
# offsets come 33 ms late alike, on cut-out words 20 ms.
FRAMES_LATE = 1
BEFORE = FRAMES_BEFORE * HOP + CONTEXT  # samples that are heard before the waveform
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
        return [_frames(answer) for answer in answers]

    def stream(self) -> SileroStream:
        return SileroStream(_Memory(self._session))

    def _fill(self, waveforms: Sequence[Waveform], answers: Sequence[Array]) -> None:
        """Compute the ``answers`` of streams that are sorted by length, the longest first."""
        memory = _Memory(self._session)
        done = 0
        while active := sum(len(answer) > done for answer in answers):
            left = len(answers[0]) - done
            steps = max(min(CALL_WINDOWS // active, left + STEP - 1) // STEP, 1) * STEP
            probabilities = memory.hear(_audio(waveforms[:active], done, steps))
            for stream, answer in enumerate(answers[:active]):
                part = answer[done : done + steps]
                part[:] = probabilities[: len(part), stream]
            done += steps


class SileroStream:
    """A VadStream: a frame is known 32 ms after its end, and none before `BEFORE` samples."""

    def __init__(self, memory: _Memory) -> None:
        self._memory = memory
        self._frames = _late_frames()
        self._audio = np.zeros(0, np.float32)  # of the windows to come
        self._is_warm = False

    def feed(self, waveform: Waveform) -> Array:
        self._audio = np.concatenate((self._audio, waveform))
        if not self._is_warm:
            if len(self._audio) <= BEFORE:
                return np.zeros(0, np.float32)
            self._warm_up()
        return self._frames.known(self._answers())

    def finish(self) -> Array:
        if not self._is_warm:
            self._warm_up()
        self._audio = np.pad(self._audio, (0, (CONTEXT - len(self._audio)) % HOP))
        return np.concatenate((self._frames.known(self._answers()), self._frames.last()))

    def _warm_up(self) -> None:
        self._audio = np.concatenate((_mirrored(self._audio), self._audio))
        self._is_warm = True

    def _answers(self) -> Array:
        """Those to the windows that are complete. A few are computed `STEP` times side by side."""
        answers = [np.zeros(0, np.float32)]
        done = 0
        windows = (len(self._audio) - CONTEXT) // HOP
        while left := windows - done:
            steps = min(left // STEP * STEP, CALL_WINDOWS) or left
            audio = self._audio[done * HOP :][: CONTEXT + steps * HOP]
            copies = STEP if steps % STEP else 1
            answers.append(self._memory.hear(np.tile(audio, (copies, 1)))[:, 0])
            done += steps
        self._audio = self._audio[done * HOP :].copy()
        return np.concatenate(answers)


class _Memory:
    """The network, and what it remembers of streams that it hears side by side."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._hidden = self._cell = np.zeros((1, 1, STATE), np.float32)

    def hear(self, audio: Array) -> Array:
        """The answers [steps, streams] to the next windows of the first streams.

        ``audio``: [streams, CONTEXT + steps * HOP]; steps times streams is a multiple of `STEP`.
        """
        windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW, axis=1)[:, ::HOP]
        streams, steps, _ = windows.shape
        state = (1, streams, STATE)
        answers: Array
        answers, self._hidden, self._cell = self._session.run(
            None,
            {
                "windows": windows.transpose(1, 0, 2).reshape(-1, WINDOW),
                "shape": np.array([steps, streams, STATE]),
                "hidden": np.broadcast_to(self._hidden[:, :streams], state),
                "cell": np.broadcast_to(self._cell[:, :streams], state),
            },
        )
        return answers


def _audio(waveforms: Sequence[Waveform], first: int, steps: int) -> Array:
    """[streams, CONTEXT + steps * HOP]: that of the windows from ``first`` on, zeros at the end.

    Window 0 is the first of the warm-up.
    """
    audio = np.zeros((len(waveforms), CONTEXT + steps * HOP), np.float32)
    begin = first * HOP - BEFORE
    before = max(-begin, 0)
    for row, waveform in zip(audio, waveforms, strict=True):
        if before:
            row[:before] = _mirrored(waveform)
        part = waveform[max(begin, 0) : begin + len(row)]
        row[before : before + len(part)] = part
    return audio


def _mirrored(waveform: Waveform) -> Array:
    """What is heard before a waveform [BEFORE]: its beginning mirrored, before that zeros."""
    mirrored = waveform[BEFORE:0:-1]
    return np.pad(mirrored, (BEFORE - len(mirrored), 0))


def _frames(answers: Array) -> Array:
    frames = _late_frames()
    return np.concatenate((frames.known(answers), frames.last()))


def _late_frames() -> LateFrames:
    return LateFrames(FRAMES_LATE, before=FRAMES_BEFORE)


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
