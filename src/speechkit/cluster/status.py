"""How far the splits of a manifest are: from their results, their tries, and SLURM's queue."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechkit.cluster import attempts, runs
from speechkit.cluster.attempts import Attempt, End
from speechkit.cluster.layout import Layout, find
from speechkit.cluster.runs import Submitted
from speechkit.errors import SchedulerFailed, UsageError
from speechkit.io import journal, safe_open, slurm
from speechkit.io.output_status import output_status
from speechkit.io.slurm import Queued
from speechkit.io.split_index import array_text

DONE, RUNNING, QUEUED, FAILED = "done", "running", "queued", "failed"
BROKEN, NOT_STARTED = "broken", "not started"  # broken: its files are not what a run writes
STATES = (DONE, RUNNING, QUEUED, FAILED, BROKEN, NOT_STARTED)
CANCELLED = "cancelled"
_NAMED = 20  # failed splits in the text
_LOG_TAIL = 4096  # bytes of a log in which a failure's sentence is looked for
#: What SLURM says of a task that it has ended itself.
_ENDS = {
    "OUT_OF_MEMORY": "out of memory: SLURM has killed it",
    "TIMEOUT": "over its time limit: SLURM has killed it",
    "NODE_FAIL": "its node has failed",
    "CANCELLED": CANCELLED,
    "PREEMPTED": "preempted",
    "BOOT_FAIL": "its node has failed",
    "DEADLINE": "past its deadline",
}


@dataclass(frozen=True, slots=True)
class SplitStatus:
    """``state`` is one of `STATES`; ``answered`` of its ``utterances`` have a result or an error,
    ``errors`` by type. ``seconds`` of audio. ``reason``: why it failed, or is broken."""

    number: int
    state: str
    utterances: int
    answered: int
    seconds: float
    errors: dict[str, int]
    reason: str = ""
    log: str = ""

    @property
    def answered_seconds(self) -> float:
        """By the share of utterances, as only these are counted."""
        return self.seconds * self.answered / self.utterances if self.utterances else 0.0


@dataclass(frozen=True, slots=True)
class Status:
    """``merged``: whether the merged output of these results is there, ``merging``: whether its job
    is queued or runs. ``remaining``: seconds until all is done, None where nothing tells.
    ``submitted``: by `speechkit slurm submit`. ``known``: SLURM has said what is queued."""

    output: str
    splits: tuple[SplitStatus, ...]
    remaining: float | None
    merge: str | None
    merged: bool
    merging: bool
    submitted: bool
    known: bool

    @property
    def incomplete(self) -> list[SplitStatus]:
        """Neither done nor under way."""
        return [split for split in self.splits if split.state in (FAILED, BROKEN, NOT_STARTED)]

    @property
    def finished(self) -> list[SplitStatus]:
        return [split for split in self.splits if split.state == DONE]

    @property
    def live(self) -> bool:
        """Whether splits are under way."""
        return any(split.state in (RUNNING, QUEUED) for split in self.splits)

    @property
    def complete(self) -> bool:
        return len(self.finished) == len(self.splits) and (self.merge is None or self.merged)

    def text(self) -> str:
        states = Counter(split.state for split in self.splits)
        counted = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
        lines = [f"{self.output}: {len(self.splits)} splits: {counted}", f"  {self._work()}"]
        errors = sum((Counter(split.errors) for split in self.splits), Counter())
        lines += [f"  {count} x {kind}" for kind, count in sorted(errors.items())]
        failed = [split for split in self.splits if split.state in (FAILED, BROKEN)]
        for split in failed[:_NAMED]:
            log = f" ({split.log})" if split.log else ""
            lines.append(f"  split {split.number} {split.state}: {split.reason}{log}")
        if len(failed) > _NAMED:
            lines.append(f"  … and {len(failed) - _NAMED} more")
        if self.incomplete:
            array = array_text(split.number for split in self.incomplete)
            way = f" (speechkit slurm rerun {self.output})" if self.submitted else ""
            lines.append(f"  incomplete: --array={array}{way}")
        if not self.known:
            lines.append("  SLURM doesn't answer: what is queued or runs elsewhere is not known")
        elif not self.submitted and self.incomplete:
            lines.append("  (tasks that sbatch was given by hand are seen once they have begun)")
        if self.merge:
            state = "is there" if self.merged else "queued" if self.merging else "not there"
            lines.append(f"  merged output {state}: {self.merge}")
        return "\n".join(lines)

    def _work(self) -> str:
        answered = sum(split.answered for split in self.splits)
        utterances = sum(split.utterances for split in self.splits)
        hours = sum(split.answered_seconds for split in self.splits) / 3600
        total = sum(split.seconds for split in self.splits) / 3600
        eta = "" if self.remaining is None else f", about {_duration(self.remaining)} to go"
        return f"{answered} of {utterances} utterances, {hours:.2f} of {total:.2f} h{eta}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}


def status(output: str, splits_dir: str = "splits", *, ask: bool = False) -> Status:
    """Of the run submitted from ``output``, or else of the splits in ``splits_dir``.

    Raises `UsageError` where there are no splits. Without SLURM, what it alone knows is missing;
    with ``ask`` that raises `SchedulerFailed`.
    """
    submitted = runs.load(output)
    layout = submitted.run.layout if submitted else find(splits_dir, None, output)
    known, queue = True, []
    try:
        queue = slurm.queue(runs.owner(output))
    except SchedulerFailed:
        if ask:
            raise
        known = False
    tasks = _by_split(submitted, queue)
    by_job = {task.job: task for task in reversed(queue)}
    tries, unread = _tries(layout)
    splits = tuple(
        # Where sbatch was called by hand, only the last try tells which task it was.
        _split(layout, number, tried, tasks.get(number) or by_job.get(_job(tried)), unread)
        for number, tried in enumerate(tries)
    )
    merge = submitted.run.merged if submitted else None
    merging = any(submitted and task.job == submitted.merge and task.lives for task in queue)
    return Status(
        output=layout.output,
        splits=splits,
        remaining=_remaining(splits, tries),
        merge=merge,
        merged=not merging and merge is not None and _is_of(merge, layout),
        merging=merging,
        submitted=submitted is not None,
        known=known,
    )


def _tries(layout: Layout) -> tuple[list[list[Attempt]], dict[int, str]]:
    """The tries at each split, and why those at some can't be read."""
    tries: list[list[Attempt]] = []
    unread: dict[int, str] = {}
    for number in range(len(layout.index.splits)):
        try:
            tries.append(attempts.read(layout.result(number)))
        except UsageError as e:
            tries.append([])
            unread[number] = str(e)
    return tries, unread


def _is_of(merged: str, layout: Layout) -> bool:
    """Whether it is there, and no result is younger."""
    results = map(layout.result, range(len(layout.index.splits)))
    try:
        made = Path(merged).stat().st_mtime_ns
    except OSError:
        return False
    return all(path.stat().st_mtime_ns <= made for path in results if path.exists())


def _by_split(submitted: Submitted | None, queue: Sequence[Queued]) -> dict[int, Queued]:
    """The latest task of each split, going by the arrays that were submitted."""
    found: dict[int, Queued] = {}
    for task in sorted(queue, key=lambda task: (task.lives, task.array)):
        split = submitted.split_of(task) if submitted else None
        if split is not None:
            found[split] = task
    return found


def _job(tried: Sequence[Attempt]) -> int:
    """SLURM's number of the last try, 0 where there is none."""
    return tried[-1].job if tried else 0


def _split(
    layout: Layout,
    number: int,
    tried: Sequence[Attempt],
    task: Queued | None,
    unread: Mapping[int, str],
) -> SplitStatus:
    output, split = layout.result(number), layout.index.splits[number]
    there = output_status(output)
    broken = there.broken or unread.get(number, "")
    unfinished = journal.part_path(output).exists()  # beside an output it is a retry
    end = tried[-1].end if tried else None
    state, reason = NOT_STARTED, ""
    if task and task.lives:
        state = RUNNING if task.runs else QUEUED
    elif broken:
        state, reason = BROKEN, broken
    elif output.exists() and not unfinished and (end is None or end.code in (0, 3, 75)):
        state = DONE
    elif there.in_progress:
        state = RUNNING
    elif task or tried:
        state, reason = FAILED, _reason(end, task, tried)
    return SplitStatus(
        number=number,
        state=state,
        utterances=split.utterances,
        answered=min(there.answered, split.utterances),
        seconds=split.seconds,
        errors=dict(there.errors),
        reason=reason,
        log=tried[-1].log if tried else "",
    )


def _reason(end: End | None, task: Queued | None, tried: Sequence[Attempt]) -> str:
    if task and task.state in _ENDS:
        return _ENDS[task.state]
    if end is None:
        word = f" (SLURM: {task.state})" if task else ""
        return f"killed, or its node failed{word}" if tried else f"ended before it began{word}"
    if end.code in (0, 3):
        return "its output is gone"
    return end.reason or _last_sentence(tried[-1].log) or f"exit code {end.code}"


def _last_sentence(log: str) -> str:
    """Speechkit's last word in a log."""
    try:
        with safe_open.open_regular(Path(log)) as file:
            file.seek(max(0, file.seek(0, 2) - _LOG_TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    words = [line.removeprefix("speechkit: ") for line in lines if line.startswith("speechkit: ")]
    return words[-1] if words else ""


def _remaining(splits: Sequence[SplitStatus], tries: Sequence[Sequence[Attempt]]) -> float | None:
    """By the audio that the tries so far have got through in their time, and the tasks at work."""
    audio = wall = 0.0
    for split, tried in zip(splits, tries, strict=True):
        for attempt in tried:
            if attempt.end:
                done, until = attempt.end.done, attempt.end.time
            elif split.state == RUNNING and attempt is tried[-1]:
                done, until = split.answered, time.time()
            else:
                continue
            share = max(0, done - attempt.done) / max(1, split.utterances)
            audio += share * split.seconds
            wall += max(0.0, until - attempt.time)  # clocks may differ
    running = sum(split.state == RUNNING for split in splits)
    left = sum(split.seconds - split.answered_seconds for split in splits)
    return left / (audio / wall) / running if audio and wall and running else None


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.1f} days"
