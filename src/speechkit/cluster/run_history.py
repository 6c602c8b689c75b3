"""The history of a run or of a job array, from the metrics of its runs and its log of attempts.

The metrics of ten million utterances are read in one pass, with a memory that doesn't grow.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechkit.cluster import attempts
from speechkit.cluster.attempts import Attempt
from speechkit.cluster.metrics_sources import files_of
from speechkit.cluster.time_bins import TimeBins
from speechkit.cluster.training_history import EVENTS, TrainingHistory
from speechkit.errors import UsageError
from speechkit.io.file_names import shown
from speechkit.runtime import metrics_file

PARTS = ("queue", "audio", "vad", "compute", "lost", "write")
RATES = (
    "audio",
    "done",
    "failed",
    "engine",
    "runner",
    "workers",
    "device",
    "cpu",
    "waiting",
    "held",
)
SLOWEST = 30
LONGEST_SAMPLE = 10.0  # seconds; in a longer interval the process was suspended
MOST_KINDS, MOST_NAME = 100, 300  # kinds of errors, and characters of a name
OTHERS = "others"
LATEST = 4102444800.0  # the year 2100


@dataclass(slots=True)
class RunSpan:
    """One run, from ``start`` to ``end`` in seconds since 1970. ``code``: its exit code, None for
    one that was killed or still goes on. ``source``: its metrics. ``task``: a name of its output
    that no other output has; ``resumed``: utterances done by runs before it."""

    source: Path
    output: Path
    stage: str
    start: float
    end: float
    task: str = ""
    host: str = ""
    job: str = ""
    workers: int = 0
    utterances: int = 0
    done: int = 0
    resumed: int = 0
    failed: int = 0
    audio_seconds: float = 0.0
    code: int | None = None
    error: str = ""


@dataclass(slots=True, order=True)
class SlowUtterance:
    """``work``: its seconds without the ``queue``; all of `PARTS` in ``parts``."""

    work: float
    name: str = field(compare=False)
    run: RunSpan = field(compare=False)
    worker: int = field(compare=False)
    batch: int = field(compare=False)
    parts: dict[str, float] = field(compare=False)
    error: str = field(compare=False)


@dataclass(slots=True)
class RunHistory:
    """``traces``: their number; ``answers``: of utterances among them, without parts and without
    attempts that were repeated. ``parts``: their seconds, where ``busy`` counts each second of an
    engine once. ``waited``: seconds of the workers by what they waited for. ``largest``: bytes of
    the largest process. ``attempts``: of each split, by the name of its output. ``trainings``: by
    their outputs."""

    bins: TimeBins = field(default_factory=lambda: TimeBins(RATES))
    runs: list[RunSpan] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    slowest: list[SlowUtterance] = field(default_factory=list)
    traces: int = 0
    answers: int = 0
    parts: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    waited: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    worker_seconds: float = 0.0
    largest: int = 0
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    trainings: dict[Path, TrainingHistory] = field(default_factory=dict)

    @property
    def start(self) -> float:
        return min(run.start for run in self.runs)

    @property
    def end(self) -> float:
        return max(run.end for run in self.runs)


def read_history(sources: Iterable[str]) -> RunHistory:
    """The history that lies in files of metrics, beside outputs, and in folders of runs.

    Raises `UsageError`.
    """
    history = RunHistory()
    for path in dict.fromkeys(path for source in sources for path in files_of(Path(source))):
        before = len(history.runs)
        _Reader(history, path).read()
        if len(history.runs) == before:
            raise UsageError(f"{shown(path)}: holds no whole line of a run; was it cut off?")
    _name_tasks(history.runs)
    for run in history.runs:
        _add_attempts(history, run)
    history.runs.sort(key=lambda run: run.start)
    history.slowest.sort(reverse=True)
    return history


def _name_tasks(runs: Iterable[RunSpan]) -> None:
    """Name the runs of an output by the end of its path, as much of it as tells outputs apart."""
    by_output: dict[tuple[Path, str], list[RunSpan]] = defaultdict(list)
    for run in runs:
        by_output[run.source, run.output.name].append(run)
    nameless, depth = [*by_output.values()], 0
    while nameless:
        depth += 1
        names = ["/".join(same[-1].output.parts[-depth:]) for same in nameless]
        count = Counter(names)
        alike = []
        for same, name in zip(nameless, names, strict=True):
            whole = depth >= len(same[-1].output.parts)
            if count[name] > 1 and not whole:
                alike.append(same)
                continue
            for run in same:
                run.task = f"{name} ({run.source})" if count[name] > 1 else name
        nameless = alike


def _add_attempts(history: RunHistory, run: RunSpan) -> None:
    folder = run.source.parent
    if folder.name == "slurm" and run.task not in history.attempts:
        history.attempts[run.task] = attempts.read(folder.parent / run.output.name)


class _Reader:
    """Adds the lines of one file to a history."""

    def __init__(self, history: RunHistory, path: Path) -> None:
        self._history = history
        self._path = path
        self._run: RunSpan | None = None
        self._elapsed = 0.0
        #: Of each output: of the traces, and then of the last end.
        self._errors: defaultdict[Path, Counter[str]] = defaultdict(Counter)
        self._before: RunSpan | None = None  # of the same output
        self._take = {"sample": self._sample, "trace": self._trace, "end": self._end}
        self._take |= dict.fromkeys(("step", "evaluation", "checkpoint", *EVENTS), self._training)

    def read(self) -> None:
        for line in metrics_file.read(self._path):
            if line["event"] == "run":
                self._begin(line)
            elif self._run and (take := self._take.get(line["event"])):
                take(line, self._run)
        for errors in self._errors.values():
            self._history.errors.update(errors)

    def _begin(self, line: Mapping[str, Any]) -> None:
        output, slurm = _text(line.get("output")), line.get("slurm")
        slurm = slurm if isinstance(slurm, dict) else {}
        start = _time(line.get("time"))
        self._elapsed = 0.0
        before = self._run
        self._run = RunSpan(
            source=self._path,
            output=Path(output) if output else self._path.absolute(),
            stage=_text(line.get("stage")),
            start=start,
            end=start,
            host=_text(line.get("host")),
            job=_text(slurm.get("job_id")),
            workers=int(_number(line.get("workers"))),
            utterances=int(_number(line.get("utterances"))),
        )
        self._before = before if before and before.output == self._run.output else None
        self._history.runs.append(self._run)

    def _sample(self, line: Mapping[str, Any], run: RunSpan) -> None:
        history, elapsed = self._history, _time(line.get("elapsed"))
        seconds = min(max(0.0, elapsed - self._elapsed), LONGEST_SAMPLE)
        self._elapsed = elapsed
        run.end = run.start + elapsed
        run.done, run.failed = int(_number(line.get("done"))), int(_number(line.get("failed")))
        run.resumed = int(_number(line.get("resumed")))
        if self._before and self._before.code is None:  # after its last sample it did some more
            self._before.done = max(self._before.done, run.resumed - self._before.resumed)
        run.audio_seconds = _number(line.get("audio_seconds"))
        workers = [one for one in _list(line.get("workers")) if isinstance(one, dict)]
        memory = [_number(one.get("rss")) for one in workers]
        history.largest = max(history.largest, *map(int, [*memory, _number(line.get("rss"))]))
        history.worker_seconds += seconds * len(workers)
        if not seconds:
            return
        processes = [line, *workers]
        rates = {
            "audio": _number(line.get("audio_seconds_now")) / seconds,
            "done": _number(line.get("done_now")) / seconds,
            "failed": _number(line.get("failed_now")) / seconds,
            "runner": _number(line.get("rss")),
            "workers": math.fsum(memory),
            "device": math.fsum(_number(one.get("device")) for one in workers),
            "cpu": math.fsum(_number(one.get("cpu")) for one in processes),
            "waiting": _number(line.get("waiting")),
            "held": _number(line.get("in_workers")),
        }
        history.bins.add(run.end - seconds, run.end, rates)

    def _trace(self, line: Mapping[str, Any], run: RunSpan) -> None:
        history = self._history
        parts = {part: _number(line.get(part)) for part in PARTS}
        history.traces += 1
        repeated = parts["lost"] > 0 and not line.get("error")
        history.answers += not repeated and line.get("part") is None
        busy, wall = _number(line.get("busy")), _number(line.get("wall"))
        for part, seconds in [*parts.items(), ("busy", busy)]:
            history.parts[part] += seconds
        answered = _time(line.get("time")) + wall - parts["write"]
        history.bins.add(answered - busy, answered, {"engine": 1.0})
        error = _text(line.get("error"))
        if error:
            kinds = self._errors[run.output]
            kinds[error if error in kinds or len(kinds) < MOST_KINDS else OTHERS] += 1
        work = math.fsum(parts.values()) - parts["queue"]
        if len(history.slowest) == SLOWEST and work <= history.slowest[0].work:
            return
        name, worker = _text(line.get("name")), int(_number(line.get("worker")))
        batch, piece = int(_number(line.get("batch"))), line.get("part")
        name = name if piece is None else f"{name}, part {int(_number(piece)) + 1}"
        slow = SlowUtterance(work, name, run, worker, batch, parts, error)
        if len(history.slowest) < SLOWEST:
            heapq.heappush(history.slowest, slow)
        else:
            heapq.heapreplace(history.slowest, slow)

    def _training(self, line: Mapping[str, Any], run: RunSpan) -> None:
        self._history.trainings.setdefault(run.output, TrainingHistory()).add(line)
        run.end = max(run.end, run.start + _time(line.get("elapsed")))
        if line["event"] == "step":
            run.done += 1
            run.audio_seconds += _number(line.get("audio_seconds"))
            self._history.largest = max(self._history.largest, int(_number(line.get("rss"))))

    def _end(self, line: Mapping[str, Any], run: RunSpan) -> None:
        run.end = max(run.end, run.start + _time(line.get("elapsed")))
        run.code, run.error = int(_number(line.get("exit_code"))), _text(line.get("error"))
        if isinstance(line.get("errors"), dict):  # of all runs of this output
            kinds = list(line["errors"].items())[:MOST_KINDS]
            self._errors[run.output] = Counter(
                {_text(kind): int(_number(count)) for kind, count in kinds}
            )
        device = line.get("device")
        waited = device.get("waited_for") if isinstance(device, dict) else None
        if isinstance(waited, dict):
            seconds = (run.end - run.start) * max(1, run.workers)
            for part, share in list(waited.items())[:MOST_KINDS]:
                self._history.waited[_text(part)] += seconds * _number(share)


def _number(value: Any) -> float:
    """A number of a line, which anybody may have written."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e15 else 0.0


def _time(value: Any) -> float:
    """Seconds since 1970, or since the start."""
    return min(max(0.0, _number(value)), LATEST)


def _text(value: Any) -> str:
    return str(value)[:MOST_NAME] if isinstance(value, str | int) else ""


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
