"""The run of a job: that of ``speechkit asr input.jsonl -o asr.jsonl``, with the same bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from speechkit.runtime import job
from speechkit.runtime.progress import Listener
from speechkit.runtime.worker_plan import Hardware
from speechkit.serving.web.jobs.request import JobRequest
from speechkit.serving.web.jobs.store import JobFolder
from speechkit.serving.web.workers.warm_workers import LaneName, WarmWorkers
from speechkit.stages.asr.stage import asr_stage


class Run(Protocol):
    """What runs a job, in a thread of its own, or goes on with it.

    ``retry``: only the files that have failed. ``progress`` is called
    whenever results have come. Raises `SpeechkitError`; `Drained` after ``cancel``.
    """

    def __call__(
        self,
        request: JobRequest,
        folder: JobFolder,
        lane: LaneName,
        *,
        retry: bool,
        progress: Listener,
        cancel: threading.Event,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Transcriber:
    """A `Run` by the workers of this server."""

    hardware: Hardware
    workers: WarmWorkers

    def __call__(
        self,
        request: JobRequest,
        folder: JobFolder,
        lane: LaneName,
        *,
        retry: bool,
        progress: Listener,
        cancel: threading.Event,
    ) -> None:
        stage = asr_stage(request.options(), self.hardware)
        options = job.JobOptions(output=folder.output, retry_failed=retry)
        job.run(
            stage,
            [folder.input],
            options,
            progress=progress,
            cancel=cancel,
            begin=self.workers.begin(lane),
        )
