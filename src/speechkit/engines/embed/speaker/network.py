"""The GE2E speaker encoder as an ONNX graph: three LSTMs, a linear layer, and a unit vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

MELS, WIDTH, LAYERS = 40, 256, 3
FLOAT = onnx.TensorProto.FLOAT


def build_network(weights: Mapping[str, Array]) -> onnx.ModelProto:
    """``mels`` [frames, rows, 40] to ``embeddings`` [rows, 256], each of length 1.

    L. Wan et al., Generalized End-to-End Loss for Speaker Verification (2018), as in Resemblyzer.
    """
    constants: dict[str, NDArray[np.generic]] = {
        "linear": weights["linear.weight"].T,
        "bias": weights["linear.bias"],
        "directions": np.array([1], np.int64),
    }
    nodes = []
    frames = "mels"
    for layer in range(LAYERS):
        names = [f"{kind}_{layer}" for kind in ("inputs", "recurrent", "biases")]
        given = [_gates(weights[f"lstm.weight_{end}_l{layer}"]) for end in ("ih", "hh")]
        bias = [_gates(weights[f"lstm.bias_{end}_l{layer}"]) for end in ("ih", "hh")]
        constants |= dict(zip(names, [*(one[None] for one in given), _joined(bias)], strict=True))
        states = [f"states_{layer}", f"last_{layer}"]
        nodes.append(helper.make_node("LSTM", [frames, *names], states, hidden_size=WIDTH))
        frames = f"frames_{layer}"
        nodes.append(helper.make_node("Squeeze", [states[0], "directions"], [frames]))
    constants["first"] = np.array([0], np.int64)
    nodes = nodes[:-1] + [
        helper.make_node("Squeeze", [f"last_{LAYERS - 1}", "first"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "linear", "bias"], ["projected"]),
        helper.make_node("Relu", ["projected"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["embeddings"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "ge2e",
        [helper.make_tensor_value_info("mels", FLOAT, ("frames", "rows", MELS))],
        [helper.make_tensor_value_info("embeddings", FLOAT, ("rows", WIDTH))],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _gates(rows: Array) -> Array:
    """The gates in ONNX's order (input, output, forget, cell); torch has the output last."""
    inputs, forget, cell, output = np.split(rows, 4)
    return np.concatenate((inputs, output, forget, cell))


def _joined(biases: list[Array]) -> Array:
    return np.concatenate(biases)[None]
