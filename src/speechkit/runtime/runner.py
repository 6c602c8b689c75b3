"""The runner of all stages: it streams, batches, resumes, drains and counts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeGuard

from speechkit.engines.protocols import DeviceUse
from speechkit.errors import Drained, OutputConflict, Stalled, UsageError
from speechkit.io import manifest, temporary_folder
from speechkit.io.hardware import peak_memory
from speechkit.io.inputs import Inputs
from speechkit.io.journal import Journal
from speechkit.io.output_status import finished_run
from speechkit.io.part_file import part_path
from speechkit.io.run_identity import RunIdentity
from speechkit.runtime.batching import Batch
from speechkit.runtime.divisions import Divisions, dump
from speechkit.runtime.earlier_results import drop_invalid, require_matching, take_over
from speechkit.runtime.messages import Divided, Outcome
from speechkit.runtime.pool import Pool
from speechkit.runtime.pool_interface import Answer, BeginComputing, StallEnds
from speechkit.runtime.pool_options import PoolOptions
from speechkit.runtime.progress import Listener, Meter
from speechkit.runtime.stage import Stage
from speechkit.runtime.stopping import GO_ON, StopRequest
from speechkit.runtime.summary import Summary, Tally, device_account, versions
from speechkit.runtime.unfinished import Unfinished
from speechkit.runtime.watch import Watch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """``output``: a manifest, None for `Runner.stream`. ``retry_failed`` computes the failed
    utterances of ``output`` again, ``restart`` all."""

    output: str | None
    pool: PoolOptions
    retry_failed: bool = False
    restart: bool = False


class Runner:
    """Runs a stage over every utterance of the inputs, once, by `write` or by `stream`.

    Both raise `Drained` if ``stop`` ended the run early, `Stalled`, `OutputConflict`,
    `ManifestError`, `EngineMissing` and the other fatal errors of the error tree.
    """

    def __init__(
        self,
        stage: Stage,
        inputs: Inputs,
        options: RunOptions,
        stop: StopRequest,
        listener: Listener | None = None,
        watch: Watch | None = None,
        begin: BeginComputing = Pool,
    ) -> None:
        self._stage = stage
        self._begin = begin
        self._inputs = inputs
        self._options = options
        self._stop = stop
        self._listener = listener
        self._started = time.monotonic()
        self.scan = inputs.scan()
        self._watch = watch or Watch()
        self._done = self._resumed = 0
        self._audio_seconds = 0.0
        self._first_result: float | None = None  # seconds after the start
        self._tally = self._new_tally()
        self._uses: list[DeviceUse] = []

    def write(self, output: Path) -> None:
        """Write the results to ``output``, unless they are there already."""
        identity = RunIdentity(
            self._stage.name,
            self._stage.options,
            self.scan.fingerprint,
            self.scan.count,
            self.scan.written,
        )
        restart = self._options.restart
        retry = self._options.retry_failed and not restart
        # A part beside the output is a stopped retry, restart or growth: resume it.
        begun = restart or part_path(output).exists()
        if output.exists() and not begun and self._is_complete(output, identity, retry=retry):
            return
        with Journal(output, identity, restart=restart) as journal:
            drop_invalid(journal, self._inputs, self._stage)
            self._keep_earlier(journal, identity, retry=retry)
            self._fill(journal)
            self._tally = self._new_tally()
            final = self._counted(self._stage.concluded(journal.lines()))
            journal.publish(chain.from_iterable(final), self._tally.to_json)

    def _is_complete(self, output: Path, identity: RunIdentity, *, retry: bool) -> bool:
        """Whether the finished output is all there is to do; it is counted then. Raise
        `OutputConflict` for that of another run, and for one that has lost files."""
        account = finished_run(output, identity, grows=self._stage.grows)
        if account["input"] != identity.input:
            require_matching(output, self._inputs, self._stage)
            return False
        self._tally.update(account)
        lacking = self._stage.lacking(self.scan.count)
        if retry and (lacking or self._tally.errors):
            return False
        if lacking:
            raise OutputConflict(
                f"{lacking}: lost or damaged since a run has made it; compute what it had again "
                "with --retry-failed"
            )
        self._resumed = self.scan.count
        self._tally.judge(manifest.read_records(str(output)))
        return True

    def stream(self) -> Iterator[Sequence[str]]:
        """Yield the output lines of each utterance, in input order, as soon as all utterances
        before it are done."""
        for lines in self._counted(self._stage.concluded(self._in_order())):
            yield [line.decode() for line in lines]

    def _in_order(self) -> Iterator[Sequence[bytes]]:
        waiting: dict[int, Sequence[str]] = {}
        following = 0
        meter = self._meter()
        for answers in self._answers(lambda batch: iter([batch]), self._divisions()):
            for answer in answers:
                if _is_whole(answer):
                    waiting[answer.index] = answer.lines
            self._watch.written()
            self._count(answers, meter)
            while following in waiting:
                yield [line.encode() for line in waiting.pop(following)]
                following += 1
        self._require_all(following, "the utterances after it are not in the output")

    def _new_tally(self) -> Tally:
        return Tally(judges=self._stage.judges)

    def _counted(self, groups: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
        """The final lines of each utterance, counted for the summary."""
        for lines in groups:
            self._tally.count(lines)
            yield lines

    def summary(self) -> Summary:
        """The summary of `write` or `stream`."""
        wall = time.monotonic() - self._started
        audio = self._audio_seconds
        tally, verdicts = self._tally.to_json(), self._tally.verdicts
        return Summary(
            stage=self._stage.name,
            output=self._options.output,
            utterances=self.scan.count,
            done=self._done,
            resumed=self._resumed,
            failed=self._tally.errors.total(),
            errors=tally["errors"],
            flags=tally["flags"],
            audio_seconds=round(audio, 3),
            wall_seconds=round(wall, 3),
            first_result_seconds=self._first_result,
            real_time_factor=round(wall / audio, 6) if audio else None,
            peak_memory=peak_memory(),
            workers=self._options.pool.workers,
            device=device_account(self._uses, wall),
            options=dict(self._stage.options),
            versions=versions(self._stage.packages),
            verdicts=verdicts.to_json() if verdicts else None,
        )

    def _meter(self) -> Meter:
        return Meter(self._stage.name, self.scan.count, self.scan.seconds, self._listener)

    def _fill(self, journal: Journal) -> None:
        """Compute the results that the journal lacks. Raises `Drained` if the run ends early."""
        self._resumed = journal.count
        meter = self._meter()
        unfinished = Unfinished(
            self._stage, journal, self._divisions(), meter, self._options.pool.workers
        )
        stall_ends = partial(_is_new_stall, journal) if self._stage.stalls else None
        try:
            for answers in self._answers(unfinished.left_of, unfinished.divisions, stall_ends):
                for answer in answers:
                    _append(journal, answer)
                journal.flush()
                self._watch.written()
                self._count(answers, meter)  # after it, a listener's exception loses nothing
        except Stalled as e:
            journal.mark_stalled(e.utterances)
            raise
        gone = f"{journal.part} was removed, and the results with it"
        self._require_all(self._done + self._resumed, GO_ON if journal.stands else gone)

    def _require_all(self, answered: int, otherwise: str) -> None:
        if answered == self.scan.count:
            return
        if not self._stop.is_set:
            raise UsageError("the input has lost lines since it was checked; restore it")
        raise Drained(
            f"{self._stop.cause} with {answered} of {self.scan.count} utterances done; {otherwise}"
        )

    def _divisions(self) -> Divisions:
        return Divisions(self._stage)

    def _answers(
        self,
        todo: Callable[[Batch], Iterator[Batch]],
        divisions: Divisions,
        stall_ends: StallEnds = None,
    ) -> Iterator[list[Answer]]:
        stage = self._stage
        count, workers = self.scan.count, self._options.pool.workers
        whole = stage.batches(islice(self._inputs, count), count, workers)
        stage.processor.survey(self._inputs, restart=self._options.restart)
        aside = temporary_folder.folder(stage.scratch) if stage.scratch else nullcontext()
        how = self._options.pool
        with aside as folder, self._stop.gently():
            with self._begin(divisions, how, self._watch, stall_ends, folder) as computing:
                left = filter(None, chain.from_iterable(map(todo, whole)))
                yield from computing.answers(left, lambda: self._stop.is_set)
            self._uses = list(computing.uses)

    def _count(self, answers: Iterable[Answer], meter: Meter) -> None:
        for answer in answers:
            if isinstance(answer, Outcome):
                self._count_outcome(answer, meter)

    def _count_outcome(self, outcome: Outcome, meter: Meter) -> None:
        if self._first_result is None:
            self._first_result = round(time.monotonic() - self._started, 3)
        self._audio_seconds += outcome.seconds
        if outcome.part is not None:
            meter.advance_part(outcome.seconds)
            return
        self._done += 1
        if outcome.traceback:
            log.debug(outcome.traceback, extra={"event": "traceback"})
        meter.advance(seconds=outcome.seconds, failed=outcome.error is not None)

    def _keep_earlier(self, journal: Journal, identity: RunIdentity, *, retry: bool) -> None:
        """Add the successful results of the finished output, which is to be retried, to grow, or
        has moved. A ``retry`` drops the failures of the unfinished one."""
        # A run killed while it published leaves a whole journal beside an output of either age.
        whole = journal.count == self.scan.count
        if retry:
            journal.drop_failed()
        if whole or not journal.output.exists():
            return
        if retry:
            finished_run(journal.output, identity, grows=self._stage.grows)
        if retry or self._moved(journal, identity):
            take_over(journal, self._inputs, self._stage, journal.output)

    def _moved(self, journal: Journal, identity: RunIdentity) -> bool:
        """Whether the finished output is of the first utterances of the input, or of a folder that
        has moved since."""
        if journal.restarted:
            return False
        try:
            account = finished_run(journal.output, identity, grows=self._stage.grows)
        except OutputConflict:
            return False
        return bool(account["input"] != identity.input)


def _is_whole(answer: Answer) -> TypeGuard[Outcome]:
    return isinstance(answer, Outcome) and answer.part is None


def _append(journal: Journal, answer: Answer) -> None:
    if isinstance(answer, Divided):
        journal.divide(answer.index, dump(answer.division))
    elif answer.part is None:
        journal.append(answer.index, answer.lines)
    else:
        journal.append_part(answer.index, answer.part, answer.lines[0])


def _is_new_stall(journal: Journal, index: int) -> bool:
    return index not in journal.stalled
