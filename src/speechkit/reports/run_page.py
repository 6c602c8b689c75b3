"""The page of a run or of a job array: how fast it was, what it waited for, and what failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit.cluster.run_history import PARTS, RunHistory, RunSpan
from speechkit.errors import UsageError
from speechkit.io.file_names import shown
from speechkit.reports.html.charts import Mark, Series, bar_list, time_line
from speechkit.reports.html.markup import Html, number
from speechkit.reports.html.page import facts, paragraph, section, table, write_page
from speechkit.reports.plurals import counted
from speechkit.reports.task_bars import Bar, task_bars
from speechkit.reports.training_curves import training_curves
from speechkit.runtime.logs import iso_time

MOST_ROWS = 200  # tasks of a time line, and rows of a table
MOST_MARKS = 40
DRAINED = 75
FINISHED, STOPPED, KILLED, FAILED = "finished", "stopped", "killed or still running", "failed"
COLOURS = {FINISHED: 2, STOPPED: 4, KILLED: 1, FAILED: 3}


@dataclass(frozen=True, slots=True)
class RunPage:
    """A `Report` of the page at ``path``."""

    history: RunHistory
    path: Path

    @property
    def exit_code(self) -> int:
        return 0

    def view(self) -> str:
        runs, history = counted(len(self.history.runs), "run"), self.history
        steps = sum(len(one.steps) for one in history.trainings.values())
        done = counted(steps, "step") if steps else counted(history.answers, "utterance")
        return f"{shown(self.path)}: {runs}, {done}"

    def to_json(self) -> dict[str, Any]:
        history = self.history
        return {
            "report": str(self.path),
            "runs": len(history.runs),
            "utterances": history.answers,
            "traces": history.traces,
            "errors": dict(history.errors),
        }

    def write(self) -> None:
        """Raise `OutputFailed`, and `UsageError` for a file that isn't a page."""
        if self.path.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--output {shown(self.path)}: the page ends in .html")
        stages = " and ".join(dict.fromkeys(run.stage for run in self.history.runs))
        write_page(self.path, f"Run of speechkit {stages}", self._content())

    def _content(self) -> Iterator[object]:
        history = self.history
        yield _facts(history)
        for output, training in history.trainings.items():
            yield section(f"Training {output.name}", *training_curves(training))
        if any(run.output not in history.trainings for run in history.runs):
            yield section("Throughput", *_throughput(history))
            yield section("Memory and CPUs", *_memory(history))
            yield section("What the time went to", *_parts(history))
        if history.errors:
            yield section("Errors", bar_list("Errors by kind", history.errors.most_common()))
        if history.slowest:
            yield section("Slowest utterances", _slowest(history))
        yield section("Runs", *_runs(history))


def _facts(history: RunHistory) -> Html:
    runs, wall = history.runs, history.end - history.start
    audio = sum(run.audio_seconds for run in runs)
    last = {run.task: run for run in runs}
    return facts(
        [
            ("began", iso_time(history.start)),
            ("wall time", _clock(wall)),
            ("tasks", len(last)),
            ("runs", len(runs)),
            ("utterances of the input", sum(run.utterances for run in last.values())),
            ("steps" if history.trainings else "done", sum(run.done for run in runs)),
            ("failed", sum(history.errors.values())),
            ("audio", f"{number(audio / 3600)} h"),
            ("speed", f"{number(audio / wall, 3)}x real time" if wall else None),
            ("largest process", f"{number(history.largest / 2**20, 3)} MB"),
        ]
    )


def _line(history: RunHistory, name: str, field: str, scale: float = 1.0) -> Series:
    start = history.start
    points = [
        (time - start, None if rate is None else rate * scale)
        for time, rate in history.bins.rates(field)
    ]
    return Series(name, points)


def _used(series: Sequence[Series]) -> list[Series]:
    """Those that are not zero all the time, or else the first one."""
    used = [one for one in series if any(value for _, value in one.points)]
    return used or [*series[:1]]


def _throughput(history: RunHistory) -> Iterator[Html]:
    marks = _marks(history)
    width = number(history.bins.width)
    audio = [_line(history, "audio", "audio")]
    note = f"Means of {width} s."
    yield time_line("Speed", audio, unit="times real time", marks=marks, note=note)
    done = [_line(history, "done", "done"), _line(history, "failed", "failed")]
    yield time_line("Utterances", _used(done), unit="a second", marks=marks)
    queue = [
        _line(history, "waiting for a worker", "waiting"),
        _line(history, "in workers", "held"),
    ]
    yield time_line("Queue", queue, unit="utterances", marks=marks)
    busy = [_line(history, "engines", "engine")]
    yield time_line("Engines", busy, unit="at work at once", marks=marks)
    if marks:
        rows = [[_clock(mark.at), mark.text] for mark in marks]
        yield table("Events that the charts mark", ["after", "event"], rows)


def _memory(history: RunHistory) -> Iterator[Html]:
    mb = 1 / 2**20
    memory = [
        _line(history, "workers", "workers", mb),
        _line(history, "runner", "runner", mb),
        _line(history, "device", "device", mb),
    ]
    yield time_line(
        "Memory", _used(memory), unit="MB", marks=_marks(history), note="Of all tasks together."
    )
    yield time_line("CPUs", [_line(history, "CPUs", "cpu")], unit="kept busy")


def _parts(history: RunHistory) -> Iterator[Html]:
    if history.waited:
        items = sorted(history.waited.items(), key=lambda item: -item[1])
        yield bar_list("What the workers waited for", _positive(items), unit="s")
    if history.traces:
        names = {"busy": "engine", "audio": "audio", "vad": "vad", "write": "write", "lost": "lost"}
        own = [(name, history.parts[part]) for part, name in names.items()]
        yield bar_list("Work on utterances", _positive(own), unit="s")
        yield paragraph(
            f"Workers were there for {_clock(history.worker_seconds)}, and their engines at work "
            f"for {_clock(history.parts['busy'])} of it. An utterance waited for "
            f"{number(history.parts['queue'] / history.traces, 3)} s on average, mostly in the "
            "queue of its worker."
        )
    else:
        yield paragraph("These metrics hold no utterances.")


def _positive(items: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in items if value > 0]


def _slowest(history: RunHistory) -> Html:
    rows = [
        [
            slow.name,
            slow.run.task,
            slow.worker,
            slow.batch,
            round(slow.work, 3),
            *(round(slow.parts[part], 3) for part in PARTS),
            slow.error or None,
        ]
        for slow in history.slowest
    ]
    columns = ["utterance", "task", "worker", "batch", "work (s)", *PARTS, "error"]
    return table("Seconds, without the queue in work", columns, rows)


def _runs(history: RunHistory) -> Iterator[Html]:
    by_task: dict[str, list[RunSpan]] = {}
    for run in history.runs:
        by_task.setdefault(run.task, []).append(run)
    tasks = sorted(by_task, key=lambda task: (-len(by_task[task]), by_task[task][0].start))
    rows = [
        (task, [_bar(run, history.start) for run in by_task[task]]) for task in tasks[:MOST_ROWS]
    ]
    more = len(tasks) - len(rows)
    note = f"{more} more tasks are not shown." if more else ""
    yield task_bars("Tasks, with their runs", sorted(rows), COLOURS, note=note)
    yield table(
        "Runs",
        ["task", "began", "seconds", "host", "job", "workers", "done", "failed", "end"],
        [_run_row(run) for run in history.runs[:MOST_ROWS]],
    )
    if rows_of_attempts := [*_attempts(history)][:MOST_ROWS]:
        columns = ["task", "ended", "job", "host", "code", "queued again", "reason"]
        yield table("Attempts that did not finish", columns, rows_of_attempts)


def _bar(run: RunSpan, start: float) -> Bar:
    text = f"{run.task} on {run.host}: {_kind(run)}, {run.done} done"
    return Bar(run.start - start, run.end - start, _kind(run), text)


def _kind(run: RunSpan) -> str:
    if run.code is None:
        return KILLED
    return {0: FINISHED, 3: FINISHED, DRAINED: STOPPED}.get(run.code, FAILED)


def _run_row(run: RunSpan) -> list[object]:
    end = _kind(run) if run.code is None else f"{_kind(run)} ({run.error or run.code})"
    seconds = round(run.end - run.start, 1)
    began = iso_time(run.start)
    done = [run.workers, run.done, run.failed]
    return [run.task, began, seconds, run.host, run.job or None, *done, end]


def _attempts(history: RunHistory) -> Iterator[list[object]]:
    for task, attempts in history.attempts.items():
        for attempt in attempts:
            end = attempt.end
            if end is None:
                what: list[object] = [None, None, "killed, or still running"]
                yield [task, None, attempt.job or None, attempt.host, *what]
            elif end.reason:
                what = [end.code, "yes" if end.requeued else None, end.reason]
                yield [task, iso_time(end.time), attempt.job or None, attempt.host, *what]


def _marks(history: RunHistory) -> list[Mark]:
    """Ends before their time."""
    ends = [run for run in history.runs if _kind(run) != FINISHED]
    return [Mark(run.end - history.start, f"{run.task}: {_kind(run)}") for run in ends[:MOST_MARKS]]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
