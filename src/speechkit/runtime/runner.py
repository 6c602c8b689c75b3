"""The one place that streams, batches, resumes, drains and counts."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import speechkit
from speechkit.engines.protocols import DeviceUse
from speechkit.errors import Drained, Stalled, UsageError
from speechkit.io import scratch
from speechkit.io.inputs import Inputs
from speechkit.io.journal import (
    Journal,
    error_type,
    flags_of,
    part_path,
)
from speechkit.io.machine import peak_memory
from speechkit.io.output_status import finished_run
from speechkit.io.run_identity import RunIdentity
from speechkit.runtime.batching import batches
from speechkit.runtime.messages import DRAIN_SIGNALS, Outcome
from speechkit.runtime.pool import Batch, Pool, PoolOptions
from speechkit.runtime.progress import Progress
from speechkit.runtime.resume import recall, take_over
from speechkit.runtime.stage import Stage

log = logging.getLogger(__name__)

Emit = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run it; nothing here changes a result. ``output`` None: to the caller's ``emit``."""

    output: str | None
    pool: PoolOptions
    retry_failed: bool = False
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """The closing account of a run. Times and audio in seconds, memory in bytes.

    ``done`` were computed now, ``resumed`` by an earlier run; ``failed`` of both have an error.
    ``flags``: how many utterances of both are flagged with each doubt.
    ``device``: where the engine worked, its smallest batch size, and its ``share`` of the time
    from the start of the run to its end in which it was at work (of all workers, 0 to 1).
    """

    stage: str
    output: str | None
    utterances: int
    done: int
    resumed: int
    failed: int
    errors: dict[str, int]
    flags: dict[str, int]
    audio_seconds: float
    wall_seconds: float
    real_time_factor: float | None
    peak_memory: int
    workers: int
    device: dict[str, Any] | None
    options: dict[str, Any]
    versions: dict[str, str]

    @property
    def exit_code(self) -> int:
        return 3 if self.failed else 0


def run(stage: Stage, inputs: Inputs, options: RunOptions, emit: Emit) -> Summary:
    """Every utterance of the inputs through the stage, to ``options.output`` or to ``emit``.

    Raises `Drained` when a signal ended the run before its end, `Stalled`, `OutputConflict`,
    `ManifestError`, `EngineMissing` and the rest of the error tree's fatal half.
    """
    with _Drain() as drain:
        return _Run(stage, inputs, options, drain).run(emit)


class _Run:
    def __init__(self, stage: Stage, inputs: Inputs, options: RunOptions, drain: _Drain) -> None:
        self._stage = stage
        self._inputs = inputs
        self._options = options
        self._drain = drain
        self._started = time.monotonic()
        self._scan = inputs.scan()
        self._done = self._resumed = 0
        self._audio_seconds = 0.0
        self._tally = _Tally()
        self._uses: list[DeviceUse] = []

    def run(self, emit: Emit) -> Summary:
        if self._options.output is None:
            self._stream(emit)
            return self._summary()
        output = Path(self._options.output)
        identity = RunIdentity(
            self._stage.name,
            self._stage.options,
            self._scan.fingerprint,
            self._scan.count,
            self._scan.written,
        )
        restart = self._options.restart
        retry = self._options.retry_failed and not restart
        moved = False
        # A part beside the output is a retry or a restart that was stopped: it goes on.
        if output.exists() and not (restart or part_path(output).exists()):
            account = finished_run(output, identity)
            self._tally.update(account)
            moved = account["input"] != identity.input
            if not moved and not (retry and self._tally.errors):
                self._resumed = self._scan.count
                return self._summary()
        with Journal(output, identity, restart=restart) as journal:
            recall(journal, self._inputs, self._stage)
            if retry or moved:
                self._forget_failures(journal, identity)
            self._fill(journal)
            self._tally = _Tally()
            for lines in journal.lines():
                self._tally.count(lines)
            journal.publish(self._tally.to_json())
        return self._summary()

    def _stream(self, emit: Emit) -> None:
        """Emits results in input order, each as soon as all before it are there."""
        waiting: dict[int, Sequence[str]] = {}
        following = 0
        bar = not sys.stdout.isatty()
        with Progress(self._stage.name, self._scan.count, self._scan.seconds, bar=bar) as progress:
            for outcomes in self._outcomes(lambda batch: iter([batch])):
                for outcome in outcomes:
                    waiting[outcome.index] = outcome.lines
                    self._tally.count([line.encode() for line in outcome.lines])
                    self._count(outcome, progress)
                while following in waiting:
                    emit(waiting.pop(following))
                    following += 1
        self._require_all(following, "the utterances after it are not in the output")

    def _fill(self, journal: Journal) -> None:
        """Computes what the journal lacks. Raises `Drained` if it still lacks something."""
        self._resumed = journal.count
        with Progress(self._stage.name, self._scan.count, self._scan.seconds) as progress:

            def todo(batch: Batch) -> Iterator[Batch]:
                """Without what is done; what it was batched with does not depend on that. What has
                stalled comes alone."""
                for utterance in batch:
                    if journal.done(utterance.index):
                        progress.skip(utterance.duration or 0.0)
                left = [one for one in batch if not journal.done(one.index)]
                yield tuple(one for one in left if one.index not in journal.stalled)
                yield from ((one,) for one in left if one.index in journal.stalled)

            def stall_ends(index: int) -> bool:
                return index not in journal.stalled

            try:
                for outcomes in self._outcomes(todo, stall_ends if self._stage.stalls else None):
                    for outcome in outcomes:
                        journal.append(outcome.index, outcome.lines)
                        self._count(outcome, progress)
                    journal.flush()
            except Stalled as e:
                journal.mark_stalled(e.utterances)
                raise
        gone = f"{journal.part} is gone: somebody has removed it, and what was done with it"
        go_on = "run the same command again to go on"
        self._require_all(self._done + self._resumed, go_on if journal.stands else gone)

    def _require_all(self, there: int, otherwise: str) -> None:
        if there == self._scan.count:
            return
        if not self._drain.heard:
            raise UsageError("the input has lost lines since it was checked; give it back whole")
        raise Drained(
            f"stopped by a signal with {there} of {self._scan.count} utterances done; {otherwise}"
        )

    def _outcomes(
        self,
        todo: Callable[[Batch], Iterator[Batch]],
        stall_ends: Callable[[int], bool] | None = None,
    ) -> Iterator[list[Outcome]]:
        stage = self._stage
        whole = batches(
            islice(self._inputs, self._scan.count),
            stage.batch_audio,
            stage.batch_utterances,
        )
        stage.processor.survey(self._inputs, restart=self._options.restart)
        aside = scratch.folder(stage.scratch) if stage.scratch else nullcontext()
        with aside as folder, self._drain.gently():
            pool = Pool(stage.processor, self._options.pool, stage.error_keys, stall_ends, folder)
            left = filter(None, chain.from_iterable(map(todo, whole)))
            yield from pool.run(left, lambda: self._drain.heard)
        self._uses = pool.uses

    def _count(self, outcome: Outcome, progress: Progress) -> None:
        self._done += 1
        self._audio_seconds += outcome.seconds
        if outcome.traceback:
            log.debug(outcome.traceback)
        progress.advance(seconds=outcome.seconds, failed=outcome.error is not None)

    def _forget_failures(self, journal: Journal, identity: RunIdentity) -> None:
        """Leaves in the journal what succeeded, be it in the unfinished or the finished output."""
        # Killed while it published, a run leaves a whole journal beside any mix of old and new.
        whole = journal.count == self._scan.count
        journal.drop_failed()
        if journal.output.exists() and not whole:
            finished_run(journal.output, identity)
            take_over(journal, self._inputs, self._stage, journal.output)

    def _summary(self) -> Summary:
        wall = time.monotonic() - self._started
        audio = self._audio_seconds
        return Summary(
            stage=self._stage.name,
            output=self._options.output,
            utterances=self._scan.count,
            done=self._done,
            resumed=self._resumed,
            failed=self._tally.errors.total(),
            **self._tally.to_json(),
            audio_seconds=round(audio, 3),
            wall_seconds=round(wall, 3),
            real_time_factor=round(wall / audio, 6) if audio else None,
            peak_memory=peak_memory(),
            workers=self._options.pool.workers,
            device=_device(self._uses, wall),
            options=dict(self._stage.options),
            versions=_versions(self._stage.packages),
        )


class _Tally:
    """How many utterances failed, by type of error, and how many are flagged, by doubt."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()

    def count(self, lines: Iterable[bytes]) -> None:
        """The lines of one utterance."""
        self.errors.update({kind for kind in map(error_type, lines) if kind})
        self.flags.update({flag for line in lines for flag in flags_of(line)})

    def update(self, counted: Mapping[str, Mapping[str, int]]) -> None:
        self.errors.update(counted["errors"])
        self.flags.update(counted.get("flags", {}))

    def to_json(self) -> dict[str, dict[str, int]]:
        return {
            "errors": dict(sorted(self.errors.items())),
            "flags": dict(sorted(self.flags.items())),
        }


def _device(uses: Sequence[DeviceUse], wall: float) -> dict[str, Any] | None:
    if not uses:
        return None
    seconds = sum(use.seconds for use in uses)
    made_anew = sorted({name for use in uses for name in use.reinitialised})
    return {
        "name": uses[0].device,
        "compute_type": uses[0].compute_type,
        "batch_size": min(use.batch_size for use in uses),
        "seconds": round(seconds, 3),
        "share": round(seconds / wall / len(uses), 4),
        **({"reinitialised": made_anew} if made_anew else {}),
    }


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {"speechkit": speechkit.__version__, "python": platform.python_version()}
    return versions | {name: importlib.metadata.version(name) for name in packages}


class _Drain:
    """Hears the signals that end a run; the first one counts. Ended at once is whatever but the
    pool's work: a kill at any moment does no harm, so an exception does none."""

    def __init__(self) -> None:
        self.heard = False
        self._gently = False
        self._before = {number: signal.getsignal(number) for number in DRAIN_SIGNALS}

    def __enter__(self) -> _Drain:
        for number in DRAIN_SIGNALS:
            signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if not self.heard:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if self.heard:  # or meanwhile
            self._ignore()

    @contextmanager
    def gently(self) -> Iterator[None]:
        """Inside, a signal is only noted."""
        self._gently = True
        try:
            yield
        finally:
            self._gently = False

    def _hear(self, number: int, _: object) -> None:
        if self.heard:
            return
        self.heard = True
        # A second signal while the process ends must not change its exit code: a handler of ours
        # would be taken down before the process is gone, what is ignored stays ignored. The first
        # one may come before __enter__ is through: then no __exit__ follows.
        self._ignore()
        name = signal.Signals(number).name
        how = "finishing what has begun, 10 s at most" if self._gently else "stopping"
        with suppress(OSError):  # print could meet itself, interrupted in mid-write
            os.write(sys.stderr.fileno(), f"{name}: {how}\n".encode())
        if not self._gently:
            raise Drained("stopped by a signal; run the same command again to go on")

    def _ignore(self) -> None:
        for each in DRAIN_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
