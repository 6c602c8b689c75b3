"""A training from its options to the model, as one call: the Python API, which the command uses."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.engines import model_catalogue, registry
from speechkit.engines.finetune.protocol import TrainerOptions, TrainingExample
from speechkit.engines.finetune.ranks import Ranks
from speechkit.engines.finetune.whisper import INFO
from speechkit.engines.finetune.whisper.labels import Labels
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import NothingToTrain
from speechkit.io.hardware import granted_cpus
from speechkit.runtime import logs
from speechkit.runtime.metrics import RunFacts
from speechkit.runtime.progress import Listener as ProgressListener
from speechkit.runtime.run_files import require_apart
from speechkit.runtime.stopping import StopRequest
from speechkit.training.batch_plan import BatchPlan
from speechkit.training.checkpoints import BEST, LAST, Checkpoints
from speechkit.training.context_hint import context_hint
from speechkit.training.evaluation import Evaluator
from speechkit.training.export import export_ct2
from speechkit.training.loader import Loader
from speechkit.training.loop import LoopOptions, resume, train
from speechkit.training.model_card import write_card
from speechkit.training.options import FinetuneOptions
from speechkit.training.requirements import require_consistent
from speechkit.training.run_folder import RunFolder, identity
from speechkit.training.state import TrainingState
from speechkit.training.summary import FinetuneSummary, Pace, read_summary, summarised
from speechkit.training.training_data import TrainingData, prepare, write_usage
from speechkit.training.training_metrics import STAGE, TrainingMetrics
from speechkit.training.watch import Listener, Listeners

if TYPE_CHECKING:
    from speechkit.engines.finetune.whisper.trainer import WhisperTrainer

MOST_LOADERS = 4  # processes; one decodes 50 times as fast as a CPU trains

__all__ = ["FinetuneOptions", "FinetuneSummary", "finetune"]


def finetune(
    options: FinetuneOptions,
    *,
    metrics: Path | None = None,
    listener: Listener | None = None,
    progress: ProgressListener | None = None,
    cancel: threading.Event | None = None,
    signals: bool = False,
) -> FinetuneSummary:
    """Train a model, or go on with a training that was stopped, and return its summary.

    ``metrics``: file of its lines, ``metrics.jsonl`` in the output folder if None. ``listener``
    hears of every step; ``progress`` is called while the data are checked and models are measured.
    Setting ``cancel`` ends the training within a step, with `Drained`; the same call goes on from
    there. ``signals``: SIGTERM, SIGUSR1 and SIGINT do the same; use it only in the main thread of
    a program that ends afterwards. A training that is finished is not computed again. Under
    torchrun, each process makes this call.

    Raise the fatal errors of the error tree (`SpeechkitError`).
    """
    require_consistent(options)
    metrics = metrics or options.output / "metrics.jsonl"
    inputs = (*options.train, *options.evaluation, *options.guards)
    require_apart(inputs, None, [("--metrics", metrics)])
    registry.require_installed(INFO)
    ranks = Ranks.of_environment()
    with StopRequest(cancel, signals=signals) as stop, ExitStack() as held:
        options = replace(options, model=str(_located(options, ranks)))
        is_done = False
        if ranks.rank == 0:
            pinned = identity(options, Path(options.model))
            folder = RunFolder(options.output, pinned, restart=options.restart)
            is_done = held.enter_context(folder).is_done
        if ranks.share(is_done):
            return read_summary(options.output)
        listeners = [listener] if listener and ranks.rank == 0 else []
        recorder = None
        if ranks.rank == 0:
            facts = RunFacts(STAGE, str(options.output), asdict(options))
            recorder = held.enter_context(TrainingMetrics(metrics, facts))
            listeners.append(recorder)
        training = _Training(
            options, ranks, stop, signals, Listeners(listeners), progress, recorder
        )
        return training.run()


def _located(options: FinetuneOptions, ranks: Ranks) -> Path:
    """The folder of the model; what is not here is fetched by the first rank."""
    whisper = registry.find("asr", "whisper")
    if ranks.rank:
        ranks.wait()
    folder = model_catalogue.locate(whisper, options.model, offline=options.offline)
    if not ranks.rank:
        ranks.wait()
    return folder


@dataclass(frozen=True, slots=True)
class _Training:
    """``recorder``: of the first rank, which alone writes and evaluates."""

    options: FinetuneOptions
    ranks: Ranks
    stop: StopRequest
    signals: bool
    listener: Listeners
    progress: ProgressListener | None
    recorder: TrainingMetrics | None

    def run(self) -> FinetuneSummary:
        options, ranks = self.options, self.ranks
        data = self._data()
        evaluator = self._evaluator()
        trainer = self._trainer(data)
        plan = BatchPlan(
            [len(one.tokens) for one in data.utterances], options.examples_per_step, options.seed
        )
        how = LoopOptions.of(options, plan.steps_per_epoch)
        checkpoints = Checkpoints(options.output)
        state = resume(trainer, checkpoints, ranks, data.count)
        if not state.batch_size:
            trainer.fit_batch(_longest(data))
        pace = Pace()
        with Loader(
            data,
            plan,
            options.augmentation,
            options.seed,
            rank=ranks.rank,
            ranks=ranks.size,
            workers=options.workers or min(MOST_LOADERS, max(1, granted_cpus() // ranks.size)),
        ) as loader:
            state = train(
                trainer,
                loader,
                checkpoints,
                evaluator,
                state,
                how,
                ranks,
                self.stop,
                Listeners([self.listener, pace]),
            )
        if ranks.rank == 0:
            self._conclude(data, evaluator, trainer, state, how, pace)
        ranks.wait()
        return read_summary(options.output)

    def _data(self) -> TrainingData:
        """The data, checked by the first rank and then read by the others.

        Raise `NothingToTrain`.
        """
        options, ranks = self.options, self.ranks
        labels = Labels(Path(options.model), options.language, options.timestamps)
        for turn in range(ranks.size):
            if turn == ranks.rank:
                data = prepare(
                    options,
                    labels,
                    options.output,
                    progress=self.progress,
                    signals=self.signals,
                )
            ranks.wait()
        if not data.utterances:
            if ranks.rank == 0:
                write_usage(options.output, data, (0,) * data.count, {})
            raise NothingToTrain(_why_nothing(data))
        if self.recorder:
            seconds = sum(one.seconds for one in data.utterances)
            self.recorder.begin(len(data.utterances), seconds)
            if hint := self._hint(data):
                logs.say(f"finetune: {hint}", "hint", "info")
        return data

    def _hint(self, data: TrainingData) -> str:
        seconds = [one.seconds for one in data.utterances]
        return "" if self.options.context else context_hint(seconds, data.context)

    def _evaluator(self) -> Evaluator | None:
        """That of the first rank, which has measured the model as given."""
        options, ranks = self.options, self.ranks
        evaluator = None
        if options.evaluation and ranks.rank == 0:
            evaluator = Evaluator(
                options,
                options.output,
                device=ranks.device or options.device,
                stop=self.stop,
                listener=self.progress,
            )
            self.listener.evaluated(evaluator.before)
        ranks.wait()
        return evaluator

    def _trainer(self, data: TrainingData) -> WhisperTrainer:
        from speechkit.engines.finetune.whisper.trainer import WhisperTrainer

        options = self.options
        return WhisperTrainer(
            TrainerOptions(
                model=Path(options.model),
                device=options.device,
                compute_type=options.compute_type,
                context=data.context,
                batch_size=options.batch_size,
                lora=options.lora,
                freeze_encoder=options.freeze_encoder,
                gradient_checkpointing=options.gradient_checkpointing,
                weight_decay=options.weight_decay,
                clip=options.clip,
                spec_augment=options.augmentation.spec_augment,
            ),
            self.ranks,
        )

    def _conclude(
        self,
        data: TrainingData,
        evaluator: Evaluator | None,
        trainer: WhisperTrainer,
        state: TrainingState,
        how: LoopOptions,
        pace: Pace,
    ) -> None:
        """Write what comes out of the training; the summary comes last, since it says it is done.

        Raise `OutputFailed`.
        """
        options = self.options
        write_usage(options.output, data, state.used, state.failures)
        proof = None
        if options.export and state.best:
            proof = export_ct2(options.output / BEST, state.best, options.output, evaluator)
        summary = summarised(
            options,
            data,
            trainer,
            state,
            how.steps,
            pace,
            before=evaluator.before if evaluator else None,
            export=proof,
            hint=self._hint(data),
        )
        if state.best:
            write_card(options.output / BEST, summary, summary.best)
        write_card(options.output / LAST, summary, summary.last)
        summary.write(options.output)
        if self.recorder:
            self.recorder.conclude(summary.exit_code)


def _why_nothing(data: TrainingData) -> str:
    counts = Counter(reason for reasons in data.skipped.values() for reason in reasons)
    named = ", ".join(f"{count} x {reason}" for reason, count in counts.most_common())
    return (
        f"nothing can be trained on: all {data.count} utterances were skipped ({named}); "
        f"training-data.jsonl has the reasons of each"
    )


def _longest(data: TrainingData) -> TrainingExample:
    """As large as an example can be: silence as long as the window, with the longest label."""
    import numpy as np

    tokens = max((one.tokens for one in data.utterances), key=len)
    waveform = np.zeros(round(data.context * SAMPLE_RATE), np.float32)
    return TrainingExample(waveform, tokens, seed=0)
