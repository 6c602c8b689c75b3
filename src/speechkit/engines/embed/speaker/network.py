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
        "first": np.array([0], np.int64),
        "directions": np.array([1], np.int64),
    }
    nodes = []
    frames = states = last = "mels"
    for layer in range(LAYERS):
        if layer:
            nodes.append(helper.make_node("Squeeze", [states, "directions"], [frames]))
        names = [f"{kind}_{layer}" for kind in ("inputs", "recurrent", "biases")]
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        inputs, recurrent, *biases = (_gates(weights[f"lstm.{kind}_l{layer}"]) for kind in kinds)
        given = (inputs[None], recurrent[None], np.concatenate(biases)[None])
        constants |= dict(zip(names, given, strict=True))
        states, last = f"states_{layer}", f"last_{layer}"
        nodes.append(helper.make_node("LSTM", [frames, *names], [states, last], hidden_size=WIDTH))
        frames = f"frames_{layer}"
    nodes += [
        helper.make_node("Squeeze", [last, "first"], ["hidden"]),
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
