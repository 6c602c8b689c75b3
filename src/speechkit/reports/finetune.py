"""The report of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from speechkit.io.file_names import shown
from speechkit.reports.plurals import counted
from speechkit.reports.progress import clock
from speechkit.reports.summary_report import SummaryReport
from speechkit.training.guard import GuardRates
from speechkit.training.rates import Rates
from speechkit.training.summary import FinetuneSummary


@dataclass(frozen=True, slots=True)
class FinetuneReport(SummaryReport[FinetuneSummary]):
    """A `Report` of a training."""

    def _lines(self) -> Iterator[str]:
        summary = self.summary
        ended = {"patience": ", no better for a while"}.get(summary.ended, "")
        yield (
            f"finetune: {counted(summary.steps, 'step')} of {summary.planned}{ended} -> "
            f"{shown(summary.output)}"
        )
        if summary.complete_already:
            yield "  complete already, nothing computed (--restart trains again)"
        yield from self._data()
        yield from self._rates()
        yield from self._trouble()
        yield f"  last: {shown(summary.last_model)}"
        yield from self._best()
        yield from self._work()
        if summary.hint:
            yield f"  {summary.hint}"

    def _data(self) -> Iterator[str]:
        summary = self.summary
        yield f"  trained on {summary.trained} of {counted(summary.utterances, 'utterance')}"
        if summary.timed:
            yield f"  with the times of words or segments: {summary.timed}"
        if unused := summary.usable - summary.trained - sum(summary.failed.values()):
            yield f"  {unused} were never drawn; more --steps would use all"
        if summary.skipped:
            yield f"  skipped: {_counts(summary.skipped)}"
        if summary.failed:
            yield f"  failed: {_counts(summary.failed)}"
        if summary.skipped or summary.failed:
            yield "  training-data.jsonl has the reasons of each"
        if summary.unaugmented:
            yield f"  augmentation failed, and the audio was used as it is: {summary.unaugmented}"

    def _rates(self) -> Iterator[str]:
        before, after = self.summary.before, self.summary.best or self.summary.last
        if before is None or after is None:
            return
        yield f"  evaluation: {_change(before, after)}"
        for name, was in before.guards.items():
            if now := after.guards.get(name):
                yield f"  guard {shown(name)}: {_change(was, now)}{_moved(now)}"

    def _best(self) -> Iterator[str]:
        summary = self.summary
        if summary.best:
            yield f"  best: {shown(summary.best_model or '')}, of step {summary.best.step}"
        elif summary.before:
            why = summary.last.refused if summary.last else ""
            yield "  no best: every checkpoint was refused" + f" ({why})" * bool(why)
        if summary.export and summary.export.refused:
            yield f"  {summary.export.refused}"
        elif summary.export:
            yield (
                f"  for faster-whisper: best-ct2, {summary.export.different} of "
                f"{summary.export.own.utterances} texts differ"
            )

    def _trouble(self) -> Iterator[str]:
        summary = self.summary
        if summary.skipped_steps:
            yield f"  steps skipped for a NaN or infinite loss or gradient: {summary.skipped_steps}"
        if summary.returns:
            yield (f"  returns to a former checkpoint, each with half the rate: {summary.returns}")

    def _work(self) -> Iterator[str]:
        summary, pace = self.summary, self.summary.pace
        measured = f", {clock(summary.evaluation_seconds)} of evaluation" if summary.before else ""
        yield f"  {clock(summary.train_seconds)} of training{measured}"
        if pace.seconds:
            yield (
                f"  {pace.examples / pace.seconds:.1f} examples a second, windows of "
                f"{summary.context:g} s, {summary.batch_size} at once on {summary.device} "
                f"({summary.compute_type}); waited for audio {pace.waited / pace.seconds:.0%}"
            )
        memory = f"  {summary.peak_memory / 2**20:.0f} MB in the largest process"
        device = summary.device_memory
        yield memory + (f", {device / 2**20:.0f} MB on the device" if device else "")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.items())


def _change(before: Rates, after: Rates) -> str:
    rates = ", ".join(
        f"{name} {100 * was:.2f} -> {100 * now:.2f} %"
        for name, was, now in (
            ("WER", before.wer, after.wer),
            ("CER", before.cer, after.cer),
        )
    )
    worse = " (worse)" if after.quoted > before.quoted else ""
    return f"{rates}{worse}"


def _moved(now: GuardRates) -> str:
    return f"; {now.moved:.0%} of the words have other times" if now.moved else ""
