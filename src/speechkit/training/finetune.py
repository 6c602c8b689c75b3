"""A training from its options to the model, as one call: the Python API, which the command uses."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.engines import model_catalogue, registry
from speechkit.engines.finetune.protocol import TrainerOptions, TrainingExample
from speechkit.engines.finetune.ranks import Ranks
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
from speechkit.training.leak import leaked
from speechkit.training.loader import Loader
from speechkit.training.loop import train
from speechkit.training.loop_options import LoopOptions
from speechkit.training.model_card import write_card
from speechkit.training.options import FinetuneOptions
from speechkit.training.requirements import require_consistent, require_installed
from speechkit.training.resume import resume
from speechkit.training.run_folder import STAGE, RunFolder, identity, resumable
from speechkit.training.state import TrainingState
from speechkit.training.summary import FinetuneSummary, Pace, read_summary, summarised
from speechkit.training.training_data import USAGE, TrainingData, check, select, write_usage
from speechkit.training.training_metrics import TrainingMetrics
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
    require_installed(options)
    metrics = metrics or options.output / "metrics.jsonl"
    inputs = (*options.train, *options.evaluation, *options.guards)
    require_apart(inputs, None, [("--metrics", metrics)])
    with (
        StopRequest(cancel, signals=signals) as stop,
        Ranks.of_environment(options.device) as ranks,
        ExitStack() as held,
    ):
        model = _located(options, ranks)
        labels = Labels(model, options.language, options.timestamps)
        evaluator = _evaluator(options, model, ranks, stop, progress)
        recorder = None
        if ranks.rank == 0:
            folder = RunFolder(options.output, identity(options, model), restart=options.restart)
            if not held.enter_context(folder).is_done:
                facts = RunFacts(STAGE, str(options.output), asdict(options))
                recorder = held.enter_context(TrainingMetrics(metrics, facts))
        if ranks.share(recorder is None):
            return replace(read_summary(options.output), complete_already=True)
        heard = Listeners([one for one in (listener, recorder) if one])
        training = _Training(
            options, model, labels, ranks, stop, heard, progress, evaluator, recorder
        )
        with resumable():
            return training.run()


def _evaluator(
    options: FinetuneOptions,
    model: Path,
    ranks: Ranks,
    stop: StopRequest,
    progress: ProgressListener | None,
) -> Evaluator | None:
    """That of the first rank. It has read the sets, and found no fault with them."""
    if ranks.rank or not options.evaluation:
        return None
    device = ranks.device or options.device
    return Evaluator(options, model, options.output, device=device, stop=stop, listener=progress)


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
    """A training on one rank.

    ``evaluator`` and ``recorder``: of the first one, which alone evaluates and writes.
    """

    options: FinetuneOptions
    model: Path
    labels: Labels
    ranks: Ranks
    stop: StopRequest
    listener: Listeners
    progress: ProgressListener | None
    evaluator: Evaluator | None
    recorder: TrainingMetrics | None

    def run(self) -> FinetuneSummary:
        options, ranks = self.options, self.ranks
        data = self._data()
        trainer = self._trainer(data)
        plan = BatchPlan(
            [len(one.tokens) for one in data.utterances], options.examples_per_step, options.seed
        )
        how = LoopOptions.of(options, plan.steps_per_epoch)
        checkpoints = Checkpoints(options.output)
        state = resume(trainer, checkpoints, ranks, data.count)
        if options.batch_size:
            trainer.batch_size = options.batch_size
        elif not state.batch_size:
            trainer.fit_batch(_longest(data))
        pace = Pace()
        listener = Listeners([self.listener, pace])
        loaders = options.workers or min(MOST_LOADERS, max(1, granted_cpus() // ranks.size))
        with Loader(
            data,
            plan,
            options.augmentation,
            options.seed,
            rank=ranks.rank,
            ranks=ranks.size,
            workers=loaders,
            stop=self.stop,
            channel=options.channel,
            track=options.track,
        ) as loader:
            state = train(
                trainer, loader, checkpoints, self.evaluator, state, how, ranks, self.stop, listener
            )
        if ranks.rank == 0:
            write_usage(options.output, data, state.used, state.failures)
        if not any(state.used):
            raise NothingToTrain(_why_nothing_learnt(state))
        if ranks.rank == 0:
            self._conclude(data, trainer, state, how, pace)
        ranks.wait()
        return read_summary(options.output)

    def _data(self) -> TrainingData:
        """What can be trained on; the first rank checks it. Raise `NothingToTrain`."""
        options, ranks, labels = self.options, self.ranks, self.labels
        if ranks.rank == 0:
            folder, progress = options.output, self.progress
            check(options, labels, folder, progress=progress, stop=self.stop)
        ranks.wait()
        data = select(options, labels, options.output)
        if not data.utterances:
            if ranks.rank == 0:
                write_usage(options.output, data, (0,) * data.count, {})
            raise NothingToTrain(_why_nothing(data))
        if self.recorder:
            seconds = sum(one.seconds for one in data.utterances)
            self.recorder.begin(len(data.utterances), seconds)
            self._warn_of_leak(data)
            if hint := self._hint(data):
                logs.say(f"finetune: {hint}", "hint", "info")
        return data

    def _warn_of_leak(self, data: TrainingData) -> None:
        """Evaluation data that are trained on would praise what was learnt by heart."""
        options = self.options
        trained = (one.utterance for one in data.utterances)
        if options.evaluation and (count := leaked(options.evaluation, trained)):
            logs.say(
                f"finetune: {count} of the evaluation's utterances share audio with the training "
                "data, and make its error rates look better than they are",
                "leak",
                "warning",
                utterances=count,
            )

    def _hint(self, data: TrainingData) -> str:
        seconds = [one.seconds for one in data.utterances]
        return "" if self.options.context else context_hint(seconds, data.context)

    def _trainer(self, data: TrainingData) -> WhisperTrainer:
        from speechkit.engines.finetune.whisper.trainer import WhisperTrainer

        options = self.options
        return WhisperTrainer(
            TrainerOptions(
                model=self.model,
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
        trainer: WhisperTrainer,
        state: TrainingState,
        how: LoopOptions,
        pace: Pace,
    ) -> None:
        """Write what comes out of the training; the summary comes last, since it says it is done.

        Raise `OutputFailed`.
        """
        options, evaluator = self.options, self.evaluator
        proof = None
        if options.export and evaluator and state.best:
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
    if not data.count:
        return "nothing can be trained on: the input holds no utterances"
    named = ", ".join(f"{count} x {reason}" for reason, count in data.reasons.items())
    return (
        f"nothing can be trained on: all {data.count} utterances were skipped ({named}); "
        f"{USAGE} in the output folder has the reasons of each"
    )


def _why_nothing_learnt(state: TrainingState) -> str:
    return (
        f"nothing was learnt in {state.step} steps: {state.skipped_steps} had a loss or gradients "
        f"that are NaN or infinite, and of the others no audio could be loaded; {USAGE} in the "
        "output folder has the errors"
    )


def _longest(data: TrainingData) -> TrainingExample:
    """As large as an example can be: silence as long as the window, with the longest label."""
    import numpy as np

    tokens = max((one.tokens for one in data.utterances), key=len)
    waveform = np.zeros(round(data.context * SAMPLE_RATE), np.float32)
    return TrainingExample(waveform, tokens, seed=0)
