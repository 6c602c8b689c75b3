"""Silero VAD's network as an ONNX graph of matrix products.

The graph of the published model takes the windows of one stream and spends most of its time in
convolutions four frames long. This one holds the same network with every convolution as one matrix
product over all windows, and an LSTM over [time, stream].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
HOP = 512  # samples from one window to the next
CONTEXT = 64  # samples of the window before that each window sees again
WINDOW = CONTEXT + HOP
STATE = 128  # LSTM units
BINS = 129  # of a spectrum over 256 samples
STRIDES = (1, 2, 2, 1)  # of the encoder's convolutions


def build_network(weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The network with the published model's parameters.

    Inputs: windows [steps * streams, 576]; shape, int64 (steps, streams, 128); hidden and cell
    [1, streams, 128]. Outputs: probabilities [steps, streams] and the new hidden and cell.
    """
    graph = _Graph(weights)
    graph.add_spectra()
    graph.add_encoder()
    graph.add_decoder()
    return graph.model()


class _Graph:
    """The nodes and constants added so far. Each ``add_`` method continues the one before."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[np.generic]] = {
            "no_end": np.array([0, 0, 0, 64], np.int64),
            "last_axis": np.array([1], np.int64),
            "frame": np.array([-1, 256], np.int64),
            "two_spectra": np.array([-1, 2 * BINS], np.int64),
            "rows": np.array([0, -1], np.int64),
        }

    def add_spectra(self) -> None:
        """``windows`` to ``layer_0``: magnitude spectra of four frames of 256 samples.

        The frames lie 128 samples apart, the last one ending in 64 mirrored samples. Frames 0 and 2
        tile the samples 0..512, frames 1 and 3 the samples 128..640.
        """
        basis = self._weights["encoder.feature_extractor.forward_basis_buffer"][:, 0]
        self._constants |= {"real": basis[:BINS].T, "imaginary": basis[BINS:].T}
        self._add("Pad", ["windows", "no_end"], "mirrored", mode="reflect")
        self._add_pair_of_spectra("even", 0)
        self._add_pair_of_spectra("odd", 128)
        self._add("Concat", ["even_spectra", "odd_spectra"], "layer_0", axis=1)

    def _add_pair_of_spectra(self, name: str, start: int) -> None:
        """``mirrored`` to ``NAME_spectra``: those of the two frames from sample ``start`` on."""
        self._constants[f"{name}_start"] = np.array([start], np.int64)
        self._constants[f"{name}_stop"] = np.array([start + 512], np.int64)
        bounds = [f"{name}_start", f"{name}_stop", "last_axis"]
        self._add("Slice", ["mirrored", *bounds], f"{name}_slice")
        self._add("Reshape", [f"{name}_slice", "frame"], f"{name}_frames")
        for part in ("real", "imaginary"):
            self._add("MatMul", [f"{name}_frames", part], f"{name}_{part}")
            self._add("Mul", [f"{name}_{part}"] * 2, f"{name}_{part}_squared")
        squares = [f"{name}_real_squared", f"{name}_imaginary_squared"]
        self._add("Add", squares, f"{name}_power")
        self._add("Sqrt", [f"{name}_power"], f"{name}_magnitude")
        self._add("Reshape", [f"{name}_magnitude", "two_spectra"], f"{name}_spectra")

    def add_encoder(self) -> None:
        """``layer_0`` to ``layer_4``: the encoder's convolutions."""
        order = [0, 2, 1, 3]  # of the frames, as the two pairs of spectra leave them
        for layer, stride in enumerate(STRIDES):
            kernel = self._weights[f"encoder.conv_layers.{layer}.weight"]
            bias = self._weights[f"encoder.conv_layers.{layer}.bias"]
            matrix = _as_matrix(kernel, order, stride)
            order = list(range(matrix.shape[1] // len(kernel)))
            self._constants[f"matrix_{layer}"] = matrix
            self._constants[f"bias_{layer}"] = np.tile(bias, len(order))
            factors = [f"layer_{layer}", f"matrix_{layer}", f"bias_{layer}"]
            self._add("Gemm", factors, f"linear_{layer}")
            self._add("Relu", [f"linear_{layer}"], f"layer_{layer + 1}")

    def add_decoder(self) -> None:
        """``layer_4``, ``shape``, ``hidden`` and ``cell`` to the outputs: the LSTM and its head."""
        self._constants |= {
            "input_weights": self._weights["onnx::LSTM_209"],
            "recurrent_weights": self._weights["onnx::LSTM_210"],
            "lstm_bias": self._weights["onnx::LSTM_211"],
            "output_weights": self._weights["decoder.conv1d.weight"][0],
            "output_bias": self._weights["decoder.conv1d.bias"],
        }
        self._add("Reshape", ["layer_4", "shape"], "features")
        lstm = ["features", "input_weights", "recurrent_weights", "lstm_bias", "", "hidden", "cell"]
        self._add("LSTM", lstm, "states", "new_hidden", "new_cell", hidden_size=STATE)
        self._add("Relu", ["states"], "positive_states")
        self._add("MatMul", ["positive_states", "output_weights"], "product")
        self._add("Add", ["product", "output_bias"], "logits")
        self._add("Sigmoid", ["logits"], "sigmoids")
        self._add("Reshape", ["sigmoids", "rows"], "probabilities")

    def model(self) -> onnx.ModelProto:
        state = (1, "streams", STATE)
        inputs = [
            _value("windows", ("rows", WINDOW)),
            _value("shape", (3,), INT64),
            _value("hidden", state),
            _value("cell", state),
        ]
        outputs = [
            _value("probabilities", ("steps", "streams")),
            _value("new_hidden", state),
            _value("new_cell", state),
        ]
        constants = [
            numpy_helper.from_array(np.ascontiguousarray(values), name)
            for name, values in self._constants.items()
        ]
        graph = helper.make_graph(self._nodes, "silero_vad_v6", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _add(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, outputs, **attributes))


def _value(name: str, shape: Sequence[int | str], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _as_matrix(kernel: Array, order: Sequence[int], stride: int) -> Array:
    """One matrix for a convolution of width 3 with one frame of zeros on both sides.

    ``kernel`` is [out, in, 3]. The rows are the input's frames in ``order``, channels innermost;
    the columns are the output's frames likewise.
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
