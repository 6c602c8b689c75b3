"""The steps of a training, its checkpoints and its evaluations.

A step is a function of the weights, the optimiser and its number alone, so that a training that is
killed and goes on from a checkpoint ends with the same bits. All processes of a training make the
same calls; the one of rank 0 alone writes and evaluates.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from speechkit.engines.finetune.protocol import StepResult, Trainer
from speechkit.engines.protocols import SAMPLE_RATE
from speechkit.errors import Drained, TrainingDiverged
from speechkit.io import typed_json
from speechkit.runtime.stopping import GO_ON, StopRequest
from speechkit.training import divergence
from speechkit.training.checkpoints import BEST, LAST, MODEL, Checkpoints
from speechkit.training.evaluation import Evaluator, Measured, is_better
from speechkit.training.loop_options import LoopOptions
from speechkit.training.resume import restore_newest
from speechkit.training.schedule import step_seed
from speechkit.training.state import TrainingState
from speechkit.training.unsaved import Unsaved
from speechkit.training.watch import Listener, Listeners, StepInfo

if TYPE_CHECKING:
    from speechkit.engines.finetune.ranks import Ranks
    from speechkit.training.loader import LoadedStep, Loader

FINISH = "finishing the step and saving a checkpoint; a second signal ends at once"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A step before it is computed. ``examples`` and ``audio_seconds``: of all ranks together.

    ``began``: on the monotonic clock; ``stopped``: a rank has been told to stop, which may have
    nothing ``loaded``.
    """

    loaded: LoadedStep | None
    began: float
    waited: float
    stopped: bool
    examples: int
    audio_seconds: float


def train(
    trainer: Trainer,
    loader: Loader,
    checkpoints: Checkpoints,
    evaluator: Evaluator | None,
    state: TrainingState,
    options: LoopOptions,
    ranks: Ranks,
    stop: StopRequest,
    listener: Listener,
) -> TrainingState:
    """Train from where `resume` has restored the trainer to the end; return the last state.

    ``evaluator``: of the first rank, None for the others; without any, no checkpoint is the best.
    Raise `Drained` when told to stop, `TrainingInterrupted` where no audio can be loaded,
    `OutputFailed`, all with a checkpoint to go on from, and `TrainingDiverged`.
    """
    training = _Training(
        trainer, loader, checkpoints, evaluator, state, options, ranks, stop, listener
    )
    return training.run()


@dataclass
class _Training:
    _trainer: Trainer
    _loader: Loader
    _checkpoints: Checkpoints
    _evaluator: Evaluator | None
    _state: TrainingState
    _options: LoopOptions
    _ranks: Ranks
    _stop: StopRequest
    _listener: Listener

    def __post_init__(self) -> None:
        self._writes = self._ranks.rank == 0
        self._evaluates = self._ranks.any(self._evaluator is not None)
        if not self._writes:
            self._listener = Listeners(())
        self._unsaved = Unsaved()
        self._norms = divergence.GradientNorms()
        self._since = time.monotonic()
        self._loaded = self._load()

    def run(self) -> TrainingState:
        self._begin()
        self._settle()
        while not self._state.ended:
            self._since = time.monotonic()
            with self._stop.gently(FINISH, twice=GO_ON):
                diverged = self._train_to_checkpoint()
                if diverged:
                    self._go_back()
            self._settle()
        return self._state

    def _begin(self) -> None:
        """Save before the first step, which shows that the disk can take it."""
        is_new = self._writes and self._checkpoints.newest() is None
        if self._ranks.any(is_new):
            self._save()
        self._publish_again()

    def _train_to_checkpoint(self) -> bool:
        """Save the next checkpoint that is due, or return True where the training has diverged."""
        saved = self._state.step
        while self._state.step == saved or not self._save_is_due(self._state.step):
            drawn = self._draw()
            if drawn.stopped:
                if self._state.step > saved:
                    self._save()
                self._end_here()
            if self._step(drawn):
                return True
        self._save()
        return False

    def _draw(self) -> _Drawn:
        """The examples of the next step, about whose totals the ranks agree."""
        began = time.monotonic()
        loaded = next(self._loaded, None)
        waited = time.monotonic() - began
        examples = loaded.examples if loaded else ()
        audio = sum(len(one.waveform) for one in examples) / SAMPLE_RATE
        totals = self._ranks.sum(self._stop.is_set, len(examples), audio)
        return _Drawn(loaded, began, waited, totals[0] > 0, round(totals[1]), totals[2])

    def _step(self, drawn: _Drawn) -> bool:
        """Train on the examples; return whether the training has diverged."""
        loaded = drawn.loaded
        assert loaded
        step = loaded.number
        silent = 0 if drawn.examples else self._state.silent_in_a_row + 1
        self._state = replace(self._state, step=step, silent_in_a_row=silent)
        if silent:
            self._unsaved.add(loaded, learnt=False)
            self._listener.event("step_without_examples", step=step)
            divergence.require_sound(self._state, self._unsaved.latest_failure)
            return False
        rate = self._state.rate_factor * self._options.schedule.rate(step)
        result = self._trainer.step(loaded.examples, rate, step_seed(self._options.seed, step))
        self._unsaved.add(loaded, learnt=not result.skipped)
        self._state = divergence.counted(self._state, result)
        self._tell(drawn, result, rate)
        return divergence.has_diverged(self._state, result)

    def _tell(self, drawn: _Drawn, result: StepResult, rate: float) -> None:
        step = self._state.step
        info = StepInfo(
            step=step,
            steps=self._options.steps,
            result=result,
            learning_rate=rate,
            seconds=time.monotonic() - drawn.began,
            waited=drawn.waited,
            examples=drawn.examples,
            audio_seconds=drawn.audio_seconds,
        )
        self._listener.step(info)
        if result.skipped:
            self._listener.event("step_skipped", step=step, reason=result.skipped)
        elif times := self._norms.unusual(result.norm):
            self._listener.event("high_norm", step=step, norm=result.norm, times=times)

    def _save(self) -> None:
        """Write a checkpoint of what all ranks have done, and publish it as the last one."""
        now = time.monotonic()
        seconds, self._since = self._state.seconds + now - self._since, now
        self._state = replace(
            self._unsaved.added_to(self._state, self._ranks),
            batch_size=self._trainer.batch_size,
            seconds=seconds,
        )
        self._unsaved = Unsaved()
        if self._writes:
            self._checkpoints.write(self._state, self._trainer)
            self._checkpoints.publish(self._state.step, LAST)
        self._ranks.wait()
        self._listener.saved(self._state.step)

    def _settle(self) -> None:
        """Evaluate the checkpoint that was reached, if that is due, and see whether it is the end.

        After a kill the state is one from before the evaluation, which is then made again, or read
        from its files.
        """
        if self._ranks.any(self._stop.is_set):
            self._end_here()
        step, options = self._state.step, self._options
        if self._evaluation_is_due(step):
            self._evaluate(step)
        if self._writes:
            good = divergence.last_good_step(self._state)
            self._checkpoints.prune(self._state.best, options.keep_every, good)
        since_best = [m for m in self._state.evaluations if m.step > self._state.best]
        if step >= options.steps:
            self._state = replace(self._state, ended="steps")
        elif 0 < options.patience <= len(since_best):
            self._state = replace(self._state, ended="patience")

    def _evaluate(self, step: int) -> None:
        began = time.monotonic()
        best = self._state.best_measured
        measured = self._measured(step, best)
        eligible = step > 0 and not measured.refused
        if eligible and is_better(measured, best, self._options.metric):
            self._state = replace(self._state, best=step)
            if self._writes:
                self._checkpoints.publish(step, BEST)
        self._state = replace(
            self._state,
            evaluations=(*self._state.evaluations, measured),
            evaluation_seconds=self._state.evaluation_seconds + time.monotonic() - began,
        )
        self._listener.evaluated(measured)

    def _measured(self, step: int, best: Measured | None) -> Measured:
        """The rates of the checkpoint of a step, or of the model as given for step 0."""
        found = None
        if self._evaluator:
            model = self._checkpoints.path(step) / MODEL
            rates = self._evaluator.measure(model, step, best) if step else self._evaluator.before
            found = asdict(rates)
        self._ranks.wait()
        return typed_json.to_dataclass(Measured, self._ranks.share(found))

    def _go_back(self) -> None:
        """Return to the last good checkpoint with a lower rate, which is written there first.

        A kill at any moment leaves the checkpoint as it was, and the steps from there on diverge
        again, or as it has become.
        """
        diverged = self._state
        good = self._restored(divergence.last_good_step(diverged)) or self._restored()
        if good is None:
            raise TrainingDiverged(f"step {diverged.step}: no checkpoint to return to is whole")
        self._state = divergence.returned(good, diverged)
        self._unsaved = Unsaved()
        if self._writes:
            self._checkpoints.drop_after(good.step)
        self._publish_again()
        self._save()
        self._loaded = self._load()
        facts = {"step": diverged.step, "to": good.step, "rate_factor": self._state.rate_factor}
        self._listener.event("returned", **facts)

    def _restored(self, most: int | None = None) -> TrainingState | None:
        utterances = len(self._state.used)
        return restore_newest(self._trainer, self._checkpoints, self._ranks, utterances, most)

    def _publish_again(self) -> None:
        """Publish what the state knows of, and nothing that a killed or abandoned training made."""
        if not self._writes:
            return
        best = self._state.best
        if not best:
            self._checkpoints.withdraw(BEST)
        elif self._checkpoints.is_whole(best):
            self._checkpoints.publish(best, BEST)
        self._checkpoints.publish(self._state.step, LAST)

    def _load(self) -> Iterator[LoadedStep]:
        return self._loader.steps(self._state.step + 1, self._options.steps)

    def _save_is_due(self, step: int) -> bool:
        options = self._options
        every = step % options.save_every == 0
        return every or step == options.steps or self._evaluation_is_due(step)

    def _evaluation_is_due(self, step: int) -> bool:
        if not self._evaluates:
            return False
        return step % self._options.evaluate_every == 0 or step == self._options.steps

    def _end_here(self) -> NoReturn:
        raise Drained(f"{self._stop.cause} after step {self._state.step}; {GO_ON}")
