"""A session of onnxruntime on one thread of the CPU: a worker process for each CPU runs one."""

from __future__ import annotations

import onnxruntime


def session(model: bytes, *, lengths_vary: bool = False) -> onnxruntime.InferenceSession:
    """``model``: a serialised graph. ``lengths_vary``: shapes differ from call to call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = not lengths_vary
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
