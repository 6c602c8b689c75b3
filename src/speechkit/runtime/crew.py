"""The worker processes of a pool: started when they are needed, set up for a stage, and ended."""

from __future__ import annotations

import time
from pathlib import Path

from speechkit.engines.protocols import DeviceUse
from speechkit.runtime.messages import Setup
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.stage import Stage
from speechkit.runtime.watch import Watch
from speechkit.runtime.worker_process import WorkerProcess

STOP_SECONDS = 3.0  # time limit for the end of a worker without work


class Crew:
    """Tells the ``watch`` of its processes. ``folder``: for their temporary files.

    ``workers``: those that live. ``uses``: of the devices, by workers that have ended.
    """

    def __init__(self, options: PoolOptions, watch: Watch, folder: Path | None) -> None:
        self.workers: list[WorkerProcess] = []
        self.uses: list[DeviceUse] = []
        self._options = options
        self._watch = watch
        self._folder = folder
        self._started = 0

    @property
    def is_full(self) -> bool:
        return len(self.workers) >= self._options.workers

    def start(self, stage: Stage) -> WorkerProcess:
        taken = {worker.gpu for worker in self.workers}
        gpu = next((name for name in self._options.gpus if name not in taken), None)
        self._started += 1
        worker = WorkerProcess.start(
            self._started, stage, self._options, gpu=gpu, folder=self._folder
        )
        self.workers.append(worker)
        self._send_setup(worker)
        self._watch.started(worker)
        return worker

    def set_up(self, worker: WorkerProcess, stage: Stage) -> None:
        """Let the batches that the worker is given from now on be those of the stage."""
        if worker.stage is not stage:
            worker.stage = stage
            self._send_setup(worker)

    def _send_setup(self, worker: WorkerProcess) -> None:
        stage, loaders = worker.stage, self._options.loaders
        worker.outbox.put(
            Setup(stage.processor, stage.error_keys, loaders, traced=self._watch.traces)
        )

    def stop(self) -> None:
        """End all, those with work or without an engine at once."""
        for worker in self.workers:
            if worker.batches or not worker.ready:
                worker.process.kill()
            worker.outbox.put(None)
        ends = time.monotonic() + STOP_SECONDS
        for worker in list(self.workers):
            self.end(worker, patience=ends - time.monotonic())

    def end(self, worker: WorkerProcess, *, patience: float = 0.0) -> int:
        """As `WorkerProcess.end`."""
        self.workers.remove(worker)
        self._watch.ended(worker)
        if worker.use:
            self.uses.append(worker.use)
        return worker.end(patience=patience)
