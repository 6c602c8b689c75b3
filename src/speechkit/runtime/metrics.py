"""Metrics of a run: a sample each second, and what the time of each utterance goes to.

docs/logs.md describes the lines of the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from speechkit.errors import SpeechkitError
from speechkit.io import atomic
from speechkit.records import TaskKey, Utterance
from speechkit.runtime import metrics_file, prometheus
from speechkit.runtime.messages import Divided, Outcome
from speechkit.runtime.metrics_file import MetricsFile
from speechkit.runtime.process_use import ProcessUses
from speechkit.runtime.progress import Listener, Progress
from speechkit.runtime.summary import Summary
from speechkit.runtime.utterance_traces import UtteranceTraces
from speechkit.version import __version__

SAMPLE_SECONDS = 1.0
FLUSH_SECONDS = 0.1  # longest delay of a trace, which is written with others
PROMETHEUS_SAMPLES = 5  # samples between two versions of the text file
_SLURM = ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "RESTART_COUNT")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What run it is. ``options``: those that the results depend on."""

    stage: str
    output: str | None
    options: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        text = json.dumps([self.stage, dict(self.options)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def place(self) -> str | None:
        """The absolute path of the output."""
        return self.output and os.path.abspath(self.output)  # noqa: PTH100

    def header(self) -> dict[str, Any]:
        slurm = {name.lower(): os.environ.get(f"SLURM_{name}") for name in _SLURM}
        return {
            "metrics": metrics_file.FORMAT,
            "time": round(time.time(), 3),
            "stage": self.stage,
            "output": self.place,
            "options": self.fingerprint,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slurm": {name: value for name, value in slurm.items() if value} or None,
            "version": __version__,
        }


@dataclass(slots=True)
class _Worker:
    pid: int
    batches: int = 0
    device: int | None = None


class Metrics:
    """The metrics of one run, written to ``path`` and, for Prometheus, to ``text``.

    A thread of its own takes the samples. Raise as `MetricsFile`.
    """

    def __init__(self, path: Path | None, text: Path | None, facts: RunFacts) -> None:
        if text:
            prometheus.claim(text)
        self._file = MetricsFile(path, facts.place) if path else None
        self._text = text
        self._facts = facts
        self._uses = ProcessUses()
        self._workers: dict[int, _Worker] = {}
        self._traces = UtteranceTraces()
        self._lines: list[str] = []  # traces to be written
        self._flushed = 0.0
        self._utterances = 0
        self._progress: Progress | None = None
        self._last: dict[str, Any] = {}
        self._summary: Summary | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_each_second, daemon=True)

    def begin(self, utterances: int, audio_seconds: float | None, workers: int) -> None:
        """``audio_seconds``: of all utterances, None where the input doesn't tell."""
        self._utterances = utterances
        known = {"utterances": utterances, "audio_seconds": audio_seconds, "workers": workers}
        self._write("run", {**self._facts.header(), **known})
        self._began = time.monotonic()
        self._thread.start()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.ident:
            self._stop.set()
            self._thread.join()
            self._flush()
            self._end(error)
        if self._file:
            self._file.close()

    def conclude(self, summary: Summary) -> None:
        self._summary = summary

    def listener(self, other: Listener | None) -> Listener:
        """A listener of the run's progress, which tells another one as well."""

        def listen(progress: Progress) -> None:
            self._progress = progress
            if other:
                other(progress)

        return listen

    def started(self, worker: int, pid: int) -> None:
        self._workers[worker] = _Worker(pid)

    def ended(self, worker: int) -> None:
        self._workers.pop(worker, None)

    def given(self, worker: int, batch: Sequence[Utterance]) -> None:
        self._workers[worker].batches += 1
        self._traces.given(worker, batch)

    def batch_done(self, worker: int, device: int | None) -> None:
        self._workers[worker].batches -= 1
        self._workers[worker].device = device

    def answered(self, utterance: Utterance, message: Outcome | Divided) -> None:
        self._traces.answered(utterance, message)

    def lost(self, worker: int, suspects: Sequence[Utterance], error: str | None) -> None:
        """A worker has died over these utterances; the others that it had are given again.

        ``error``: None if these are given again, too.
        """
        self._traces.lost(worker, suspects, error)

    def begun(self, worker: int, keys: Sequence[TaskKey]) -> None:
        self._traces.begun(worker, keys)

    def written(self) -> None:
        if self._file is None:
            self._traces.forget()
            return
        if lines := self._traces.written():
            self._lines.append(lines)
        if self._lines and time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._file and self._lines:
            self._file.write("".join(self._lines))
        self._lines.clear()
        self._flushed = time.monotonic()

    def _sample_each_second(self) -> None:
        due = time.monotonic()
        number = 0
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._sample()
            if number % PROMETHEUS_SAMPLES == 0:
                self._publish(None)
            number += 1
            due = max(due + SAMPLE_SECONDS, time.monotonic())

    def _sample(self) -> None:
        before, self._last = self._last, self._values()
        change = {
            f"{key}_now": round(self._last[key] - before.get(key, 0), 3)
            for key in ("done", "failed", "audio_seconds", "engine_total")
        }
        self._write("sample", {**self._last, **change})

    def _values(self) -> dict[str, Any]:
        progress = self._progress
        total, resumed = (progress.total, progress.resumed) if progress else (self._utterances, 0)
        done = progress.done - resumed if progress else 0
        own, in_workers = self._uses.of(os.getpid()), self._traces.in_workers
        return {
            "time": round(time.time(), 3),
            "elapsed": round(time.monotonic() - self._began, 3),
            "total": total,
            "done": done,
            "failed": progress.failed if progress else 0,
            "resumed": resumed,
            "audio_seconds": round(progress.audio_seconds, 3) if progress else 0.0,
            "engine_total": round(self._traces.engine_seconds, 3),
            "waiting": max(0, total - resumed - done - in_workers),
            "in_workers": in_workers,
            "rss": own and own.rss,
            "cpu": own and own.cpu,
            "disk_free": self._disk_free(),
            "workers": [self._of_worker(number) for number in sorted([*self._workers])],
        }

    def _of_worker(self, number: int) -> dict[str, Any]:
        worker = self._workers.get(number)
        if worker is None:  # it has just ended
            return {"worker": number}
        use = self._uses.of(worker.pid)
        fields = {"worker": number, "pid": worker.pid, "batches": worker.batches}
        if use:
            fields |= {"rss": use.rss, "cpu": use.cpu}  # type: ignore[dict-item]
        return fields | ({} if worker.device is None else {"device": worker.device})

    def _disk_free(self) -> int | None:
        place = Path(self._facts.output or ".").absolute()
        for folder in place.parents:
            with suppress(OSError):
                return shutil.disk_usage(folder).free
        return None

    def _end(self, error: BaseException | None) -> None:
        self._sample()
        code = 1
        if isinstance(error, SpeechkitError):
            code = error.exit_code
        elif error is None and self._summary:
            code = self._summary.exit_code
        totals = self._summary.to_json() if self._summary else self._partial()
        totals.pop("options", None)
        keys = ("stage", "output", "exit_code")
        kept = {key: value for key, value in totals.items() if key not in keys}
        fields = {"time": round(time.time(), 3), "exit_code": code}
        if error is not None:
            kept = {**kept, "error": type(error).__name__}
        self._write("end", {**fields, "elapsed": self._last["elapsed"], **kept})
        self._publish(code)

    def _partial(self) -> dict[str, Any]:
        """The numbers of a run that has no summary, as far as it came."""
        keys = ("done", "failed", "resumed", "audio_seconds")
        return {"utterances": self._last["total"], **{key: self._last[key] for key in keys}}

    def _publish(self, exit_code: int | None) -> None:
        if self._text is None:
            return
        labels = {"stage": self._facts.stage, "output": str(self._facts.output or "-")}
        try:
            atomic.write_text(self._text, prometheus.rendered(self._last, labels, exit_code))
        except SpeechkitError as e:
            self._text = None
            log.warning("%s; the run goes on without it", e, extra={"event": "prometheus_dropped"})

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        if self._file:
            self._file.write(metrics_file.dumped(event, dict(fields)))
