"""Decoding steps captured as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import torch


class Step(NamedTuple):
    """The shape of a captured step: its rows, the positions they attend to, whether there are
    timestamps, and the frames of their windows."""

    rows: int
    span: int
    stamps: bool
    frames: int


class StepGraphs:
    """Steps captured as CUDA graphs, which share a pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # the default one can't be captured
        self.clear()

    def clear(self) -> None:
        self._graphs: dict[Step, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def replay(self, step: Step, work: Callable[[Step], None]) -> None:
        """Replay ``work(step)``.

        The first time it is called before it is captured, because a capture can't load kernels.
        """
        if step in self._graphs:
            self._graphs[step].replay()
            return
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        try:
            with torch.cuda.stream(self._stream):
                work(step)
                self._graphs[step] = self._captured(step, work)
        finally:
            here.wait_stream(self._stream)

    def _captured(self, step: Step, work: Callable[[Step], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._stream.device)
        # Features are computed in another thread, which may use the device meanwhile.
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            work(step)
        except Exception:
            with suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()
        return graph
