"""The metrics of a training: a line for each step, evaluation and checkpoint.

docs/finetune.md describes them. The file is one of `speechkit.runtime.metrics_file`.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from speechkit.errors import SpeechkitError
from speechkit.runtime import metrics_file
from speechkit.runtime.device_memory import device_memory
from speechkit.runtime.metrics import RunFacts
from speechkit.runtime.metrics_file import MetricsFile
from speechkit.runtime.process_use import ProcessUses
from speechkit.training.evaluation import Measured
from speechkit.training.watch import StepInfo


class TrainingMetrics:
    """A `speechkit.training.watch.Listener` that writes what it hears to a file, line by line.

    Raise as `MetricsFile`.
    """

    def __init__(self, path: Path, facts: RunFacts) -> None:
        self._file = MetricsFile(path, facts.place)
        self._facts = facts
        self._uses = ProcessUses()
        self._began = time.monotonic()
        self._begun = False
        self._exit_code = 0

    def begin(self, utterances: int, audio_seconds: float) -> None:
        """``utterances`` and ``audio_seconds``: that can be trained on."""
        self._begun = True
        known = {"utterances": utterances, "audio_seconds": round(audio_seconds, 3)}
        self._write("run", {**self._facts.header(), **known})

    def conclude(self, exit_code: int) -> None:
        self._exit_code = exit_code

    def __enter__(self) -> TrainingMetrics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._begun:
            code = self._exit_code
            if error is not None:
                code = error.exit_code if isinstance(error, SpeechkitError) else 1
            named = {"error": type(error).__name__} if error is not None else {}
            self._timed("end", exit_code=code, **named)
        self._file.close()

    def step(self, info: StepInfo) -> None:
        use = self._uses.of(os.getpid())
        result = {
            name: _finite(value) if isinstance(value, float) else value
            for name, value in asdict(info.result).items()
        }
        self._timed(
            "step",
            step=info.step,
            steps=info.steps,
            **result,
            learning_rate=info.learning_rate,
            seconds=round(info.seconds, 4),
            waited=round(info.waited, 4),
            examples=info.examples,
            audio_seconds=round(info.audio_seconds, 3),
            rss=use and use.rss,
            cpu=use and use.cpu,
            device=device_memory(),
        )

    def evaluated(self, measured: Measured) -> None:
        self._timed("evaluation", **asdict(measured))

    def saved(self, step: int) -> None:
        self._timed("checkpoint", step=step)

    def event(self, kind: str, **numbers: Any) -> None:
        self._timed(kind, **numbers)

    def _timed(self, event: str, **fields: Any) -> None:
        elapsed = round(time.monotonic() - self._began, 3)
        self._write(event, {"time": round(time.time(), 3), "elapsed": elapsed, **fields})

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        self._file.write(metrics_file.dumped(event, fields))


def _finite(value: float) -> float | None:
    """None for what JSON can't say."""
    return value if math.isfinite(value) else None
