"""Silero VAD v6 (MIT) through onnxruntime, many streams at once. No torch.

The weights come from the faster-whisper wheel, whose graph takes the windows of one stream and
spends most of its time in convolutions four frames long. The graph built here holds the same
network with every convolution written as one matrix product over all windows, and an LSTM over
[time, stream]: a third of the time for one stream alone, and less for many.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import EngineMissing

try:
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper
except ImportError as error:
    raise EngineMissing(
        "Silero VAD needs onnx and onnxruntime: run `pip install onnx onnxruntime`."
    ) from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

    Array = NDArray[np.float32]

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
HOP = 512  # samples a window moves
CONTEXT = 64  # samples of the window before that each window sees again
WINDOW = CONTEXT + HOP
STATE = 128  # LSTM units
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # shapes differ from call to call
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            _graph(_weights()).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, waveforms: Sequence[Waveform]) -> list[Array]:
        found = [np.empty(FRAMES_BEFORE + -(-len(w) // HOP), np.float32) for w in waveforms]
        longest_first = sorted(range(len(found)), key=lambda i: -len(found[i]))
        for first in range(0, len(found), MAX_STREAMS):
            streams = longest_first[first : first + MAX_STREAMS]
            self._fill([waveforms[i] for i in streams], [found[i] for i in streams])
        return [_shifted(answer) for answer in found]

    def _fill(self, waveforms: Sequence[Waveform], found: Sequence[Array]) -> None:
        """Computes ``found`` for streams sorted by length, the longest first."""
        hidden = cell = np.zeros((1, len(found), STATE), np.float32)
        done = 0
        while active := sum(len(answer) > done for answer in found):
            left = len(found[0]) - done
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
            for stream, answer in enumerate(found[:active]):
                part = answer[done : done + steps]
                part[:] = probabilities[: len(part), stream]
            done += steps


def _windows(waveforms: Sequence[Waveform], first: int, steps: int) -> Array:
    """[steps, streams, WINDOW] from window ``first`` on, the first being the warm-up's.

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


def _shifted(found: Array) -> Array:
    """Each frame's own probability; the last frames, for which none came, have the last one's."""
    frames = found[FRAMES_BEFORE:]
    return np.concatenate((frames[FRAMES_LATE:], frames[-1:]))


def _weights() -> dict[str, Array]:
    """The model's parameters by name."""
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


def _graph(weights: dict[str, Array]) -> onnx.ModelProto:
    """The network as matrix products.

    Inputs: windows [steps * streams, 576]; shape, int64 (steps, streams, 128); hidden and cell
    [1, streams, 128]. Outputs: probabilities [steps, streams] and the new hidden and cell.
    """
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, NDArray[np.generic]] = {
        "no_end": np.array([0, 0, 0, 64], np.int64),
        "last_axis": np.array([1], np.int64),
        "frame": np.array([-1, 256], np.int64),
        "two_spectra": np.array([-1, 2 * 129], np.int64),
        "rows": np.array([0, -1], np.int64),
    }

    def node(kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    # Magnitude spectra of four frames of 256 samples, 128 apart, the last ending in 64 mirrored
    # samples. Frames 0 and 2 tile the samples 0..512, frames 1 and 3 the samples 128..640.
    basis = weights["encoder.feature_extractor.forward_basis_buffer"][:, 0]
    constants |= {"real": basis[:129].T, "imaginary": basis[129:].T}
    node("Pad", ["windows", "no_end"], "mirrored", mode="reflect")
    for name, start in (("even", 0), ("odd", 128)):
        constants[f"{name}_start"] = np.array([start], np.int64)
        constants[f"{name}_stop"] = np.array([start + 512], np.int64)
        node("Slice", ["mirrored", f"{name}_start", f"{name}_stop", "last_axis"], f"{name}_slice")
        node("Reshape", [f"{name}_slice", "frame"], f"{name}_frames")
        for part in ("real", "imaginary"):
            node("MatMul", [f"{name}_frames", part], f"{name}_{part}")
            node("Mul", [f"{name}_{part}"] * 2, f"{name}_{part}_squared")
        node("Add", [f"{name}_real_squared", f"{name}_imaginary_squared"], f"{name}_power")
        node("Sqrt", [f"{name}_power"], f"{name}_magnitude")
        node("Reshape", [f"{name}_magnitude", "two_spectra"], f"{name}_spectra")
    node("Concat", ["even_spectra", "odd_spectra"], "layer_0", axis=1)

    order = [0, 2, 1, 3]  # of the frames, as the two slices left them
    for layer, stride in enumerate((1, 2, 2, 1)):
        kernel = weights[f"encoder.conv_layers.{layer}.weight"]
        matrix = _as_matrix(kernel, order, stride)
        order = list(range(matrix.shape[1] // len(kernel)))
        constants[f"matrix_{layer}"] = matrix
        constants[f"bias_{layer}"] = np.tile(
            weights[f"encoder.conv_layers.{layer}.bias"], len(order)
        )
        node("Gemm", [f"layer_{layer}", f"matrix_{layer}", f"bias_{layer}"], f"linear_{layer}")
        node("Relu", [f"linear_{layer}"], f"layer_{layer + 1}")

    constants |= {
        "input_weights": weights["onnx::LSTM_209"],
        "recurrent_weights": weights["onnx::LSTM_210"],
        "lstm_bias": weights["onnx::LSTM_211"],
        "output_weights": weights["decoder.conv1d.weight"][0],
        "output_bias": weights["decoder.conv1d.bias"],
    }
    node("Reshape", ["layer_4", "shape"], "features")
    lstm = ["features", "input_weights", "recurrent_weights", "lstm_bias", "", "hidden", "cell"]
    node("LSTM", lstm, "states", "new_hidden", "new_cell", hidden_size=STATE)
    node("Relu", ["states"], "positive_states")
    node("MatMul", ["positive_states", "output_weights"], "product")
    node("Add", ["product", "output_bias"], "logits")
    node("Sigmoid", ["logits"], "sigmoids")
    node("Reshape", ["sigmoids", "rows"], "probabilities")

    def value(name: str, shape: Sequence[int | str], kind: int = FLOAT) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    state = (1, "streams", STATE)
    graph = helper.make_graph(
        nodes,
        "silero_vad_v6",
        [
            value("windows", ("rows", WINDOW)),
            value("shape", (3,), INT64),
            value("hidden", state),
            value("cell", state),
        ],
        [
            value("probabilities", ("steps", "streams")),
            value("new_hidden", state),
            value("new_cell", state),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _as_matrix(kernel: Array, order: Sequence[int], stride: int) -> Array:
    """A convolution of width 3 with one frame of zeros on both sides, as one matrix.

    ``kernel`` is [out, in, 3]; the rows are the input's frames in ``order``, channels innermost,
    the columns the output's frames likewise.
    """
    outputs, inputs, width = kernel.shape
    frames = (len(order) + 2 - width) // stride + 1
    matrix = np.zeros((len(order), inputs, frames, outputs), np.float32)
    for row, frame in enumerate(order):
        for column in range(frames):
            tap = frame - column * stride + 1
            if 0 <= tap < width:
                matrix[row, :, column] = kernel[:, :, tap].T
    return matrix.reshape(len(order) * inputs, frames * outputs)
