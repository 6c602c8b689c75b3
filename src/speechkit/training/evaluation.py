"""Models measured during a training: transcribed by the asr stage, scored as by `score`.

The text is the likeliest one, token by token (``--temperature 0``). By default, asr decodes a
doubtful window again by a wider search and five samplings. A model that has lost its way has no
other windows, and each of these goes on to the limit of tokens, so that a measurement would take
many times as long. Without chance in it, equal models have equal rates.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from speechkit.engines.finetune.whisper.labels import languages
from speechkit.errors import OutputConflict
from speechkit.io import manifest
from speechkit.io.checksums import chunks
from speechkit.records import Record
from speechkit.runtime import job
from speechkit.runtime.progress import Listener
from speechkit.runtime.stage import Stage
from speechkit.runtime.stopping import StopRequest
from speechkit.runtime.worker_plan import Hardware
from speechkit.scoring.results import Score, ScoreOptions
from speechkit.scoring.score import score
from speechkit.stages.asr.stage import AsrOptions, asr_stage
from speechkit.training import guard
from speechkit.training.evaluation_set import EvaluationSet
from speechkit.training.guard import GuardRates
from speechkit.training.options import FinetuneOptions
from speechkit.training.rates import Rates

ENGINE = "whisper"
LIKELIEST = {"temperature": (0.0,)}  # of each token, and no second search


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Rates):
    """The rates of a model on the evaluation set, and on the ``guards``, where they were measured.

    ``step``: after which the model was saved; 0 for the model as given. ``refused``: why it can't
    be the best, as a phrase; "" if it can.
    """

    step: int
    guards: dict[str, GuardRates] = field(default_factory=dict)
    refused: str = ""


def is_better(one: Rates, other: Rates | None, metric: str) -> bool:
    """Whether ``one`` has the lower rate of a ``metric``, "wer" or "cer". An equal one is not."""
    return other is None or bool(getattr(one, metric) < getattr(other, metric))


def _no_better(one: Rates, given: Rates, metric: str) -> str:
    rates = (f"{100 * getattr(rates, metric):.2f} %" for rates in (one, given))
    return "{} {}, and that of the model as given is {}".format(metric.upper(), *rates)


def comparison(before: Measured, after: Measured) -> list[Record]:
    """The evaluation set and then each guard, before the training and after, for a report."""
    return [
        guard.comparison("evaluation", before, after),
        *(
            guard.guard_comparison(name, before.guards[name], rates)
            for name, rates in after.guards.items()
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Saved:
    """A model that was saved after ``step``. ``stamp``: of all that is in its folder."""

    folder: Path
    step: int
    stamp: str

    @classmethod
    def of(cls, folder: Path, step: int) -> _Saved:
        return cls(folder, step, stamp(folder))


class Evaluator:
    """Measures models on the evaluation set and the guards of a training.

    ``model``: the folder of the model as given. ``folder``: of the training's output. Transcripts
    are in ``evaluations/step-N`` of it; one that is there already is not made again, and a begun
    one is continued, if they are of this very model. ``device``: of the training. ``listener``: of
    the progress of each transcription.

    Raise `UsageError` where an utterance has no reference. Its methods raise `Drained` where
    ``stop`` ends them early, and the fatal errors of a run.
    """

    def __init__(
        self,
        options: FinetuneOptions,
        model: Path,
        folder: Path,
        *,
        device: str,
        stop: StopRequest,
        listener: Listener | None = None,
    ) -> None:
        self._options = options
        self._folder = folder / "evaluations"
        self._device = device
        self._stop = stop
        self._listener = listener
        self._model = model
        known = languages(model)
        self._evaluation = EvaluationSet.read(
            "evaluation", options.evaluation, options.language, known
        )
        self._guards = {
            source: EvaluationSet.read(f"guard-{number}", (source,), options.language, known)
            for number, source in enumerate(dict.fromkeys(options.guards), 1)
        }

    @cached_property
    def before(self) -> Measured:
        """The model as given, guards included."""
        given = _Saved.of(self._model, 0)
        return replace(self._evaluated(given), guards=self._guarded(given))

    def measure(self, model: Path, step: int, best: Measured | None) -> Measured:
        """A model that was saved after ``step``; on the guards only if it is better than ``best``,
        because nothing else can become the best. The first has to be better than the model as
        given."""
        metric = self._options.metric
        saved = _Saved.of(model, step)
        found = self._evaluated(saved)
        if not is_better(found, best, metric):
            return found
        if not is_better(found, self.before, metric):
            return replace(found, refused=_no_better(found, self.before, metric))
        guards = self._guarded(saved)
        refused = guard.refusal(self.before.guards, guards, self._options.guard_budget)
        return replace(found, guards=guards, refused=refused)

    def transcripts(self, model: Path, step: int, engine: str, **given: Any) -> Path:
        """The evaluation set as an engine hears it, with options of its own; a manifest."""
        return self._transcribed(self._evaluation, _Saved.of(model, step), engine, given)

    def score(self, transcripts: Path) -> Score:
        """The score of transcripts of the evaluation set."""
        return self._scored(self._evaluation, transcripts)

    def _evaluated(self, saved: _Saved) -> Measured:
        transcripts = self._transcribed(self._evaluation, saved, ENGINE, {})
        return Measured.of(self.score(transcripts).total, step=saved.step)

    def _guarded(self, saved: _Saved) -> dict[str, GuardRates]:
        return {name: self._guard(one, saved) for name, one in self._guards.items()}

    def _guard(self, chosen: EvaluationSet, saved: _Saved) -> GuardRates:
        transcripts = self._transcribed(chosen, saved, ENGINE, {}, words=True)
        found = self._scored(chosen, transcripts)
        first = self._place(0) / transcripts.name
        return GuardRates.of(
            found.total,
            languages={name: Rates.of(group) for name, group in found.groups.items()},
            moved=guard.moved_share(*map(_records, (first, transcripts))),
        )

    def _place(self, step: int) -> Path:
        return self._folder / f"step-{step:06}"

    def _transcribed(
        self,
        chosen: EvaluationSet,
        saved: _Saved,
        engine: str,
        given: Mapping[str, Any],
        *,
        words: bool = False,
    ) -> Path:
        free_memory(self._device)
        told = LIKELIEST | ({"language": chosen.language} if chosen.language else {})
        stage = asr_stage(
            AsrOptions(
                engine=engine,
                model=str(saved.folder),
                words=words,
                channel=self._options.channel,
                track=self._options.track,
                engine_options={**told, **given},
            ),
            Hardware(device=self._device, offline=True),
        )
        # The model is known by what is in it, so that neither another one of the same step, after
        # a return to an earlier checkpoint, nor a moved folder is taken for it.
        stage = replace(stage, options={**stage.options, "model": saved.stamp})
        name = chosen.name if engine == ENGINE else f"{chosen.name}-{engine}"
        output = self._place(saved.step) / f"{name}.jsonl"
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._run(stage, chosen, output)
        except OutputConflict:
            self._run(stage, chosen, output, restart=True)
        return output

    def _run(
        self, stage: Stage, chosen: EvaluationSet, output: Path, *, restart: bool = False
    ) -> None:
        with self._stop.ending("during an evaluation") as cancel:
            job.run(
                stage,
                chosen.sources,
                job.JobOptions(output=output, restart=restart),
                progress=self._listener,
                cancel=cancel,
            )

    def _scored(self, chosen: EvaluationSet, transcripts: Path) -> Score:
        by = "lang" if chosen.has_languages else None
        return score(chosen.with_languages(_records(transcripts)), ScoreOptions(by=by, worst=0))


def _records(transcripts: Path) -> Iterator[Record]:
    return manifest.read_records(str(transcripts))


def stamp(model: Path) -> str:
    """A hash of all that is in a model's folder, by which another model is noticed."""
    digest = hashlib.sha256()
    for path in sorted(path for path in model.iterdir() if path.is_file()):
        if path.suffix != ".md":
            digest.update(f"{path.name} {path.stat().st_size}\n".encode(errors="surrogateescape"))
            for chunk in chunks(path):
                digest.update(chunk)
    return digest.hexdigest()


def free_memory(device: str) -> None:
    """Give back what this process holds of the device's memory without need."""
    from speechkit.engines.torch import device as torch_device

    gc.collect()
    torch_device.free_memory(torch_device.device(device, "finetune"))
