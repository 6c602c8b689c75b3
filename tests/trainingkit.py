"""A training of a few numbers, of our own interfaces: the real loop, quick and to the bit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from speechkit.engines.finetune.protocol import StepResult, TrainingExample
from speechkit.engines.finetune.ranks import Ranks
from speechkit.errors import AudioUnreadable
from speechkit.runtime.stopping import StopRequest
from speechkit.training.checkpoints import Checkpoints
from speechkit.training.evaluation import Measured
from speechkit.training.loader import LoadedStep
from speechkit.training.loop import train
from speechkit.training.loop_options import LoopOptions
from speechkit.training.resume import resume
from speechkit.training.run_folder import resumable
from speechkit.training.schedule import Schedule
from speechkit.training.state import TrainingState
from speechkit.training.watch import Listener, Listeners, StepInfo

UTTERANCES = 5
BROKEN = 3  # the utterance that can't be loaded
EXPLOSIVE = 0.3  # a higher learning rate makes NaN of step `CLIFF`
CLIFF = 3


class Trainer:
    """Four weights and their momentum."""

    device, compute_type, trainable, parameters = "cpu", "float32", 4, 4

    def __init__(self) -> None:
        self.batch_size = 2
        self.weights = np.linspace(0, 1, 4, dtype=np.float32)
        self.momentum = np.zeros(4, np.float32)
        self.steps: list[int] = []  # the seed of each

    def fit_batch(self, longest: TrainingExample) -> None: ...

    def step(
        self, examples: Sequence[TrainingExample], learning_rate: float, seed: int
    ) -> StepResult:
        self.steps.append(seed)
        if self.explodes(examples, learning_rate):
            return StepResult(loss=float("nan"), norm=float("nan"), tokens=1, skipped="NaN loss")
        noise = np.random.default_rng(seed).normal(size=4).astype(np.float32)
        for one in examples:
            self.momentum = np.float32(0.9) * self.momentum + noise * np.float32(one.tokens[0])
        self.weights = self.weights - np.float32(learning_rate) * self.momentum
        norm = float(np.linalg.norm(self.momentum))
        return StepResult(loss=1.0, norm=norm, tokens=len(examples), batch_size=2)

    def explodes(self, examples: Sequence[TrainingExample], learning_rate: float) -> bool:
        number = examples[0].seed if examples else 0
        return number == CLIFF and learning_rate > EXPLOSIVE

    def save_model(self, folder: Path) -> None:
        save_file({"weights": self.weights}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")

    def save_state(self, folder: Path) -> None:
        tensors = {"weights": self.weights, "momentum": self.momentum}
        save_file(tensors, folder / "training.safetensors")

    def restore(self, folder: Path) -> None:
        tensors = load_file(folder / "training.safetensors")
        self.weights, self.momentum = tensors["weights"], tensors["momentum"]


class Loader:
    """Two utterances a step, in turn; those of each rank are every ``ranks``-th."""

    def __init__(self, rank: int = 0, ranks: int = 1) -> None:
        self._rank, self._ranks = rank, ranks

    def steps(self, first: int, last: int) -> Iterator[LoadedStep]:
        for number in range(first, last + 1):
            drawn = [number % UTTERANCES, (2 * number) % UTTERANCES][self._rank :: self._ranks]
            used = tuple(index for index in drawn if index != BROKEN)
            examples = tuple(
                TrainingExample(np.zeros(16, np.float32), (index + 1,), number) for index in used
            )
            failed = {BROKEN: AudioUnreadable("no audio")} if BROKEN in drawn else {}
            yield LoadedStep(number, examples, used, failed, len(examples))


class Evaluator:
    """The distance of the first weight from 0.8 is the rate."""

    def __init__(self, refused: Sequence[int] = ()) -> None:
        self.measured: list[int] = []
        self._refused = refused

    @property
    def before(self) -> Measured:
        return rates(0, 1.0)

    def measure(self, model: Path, step: int, best: Measured | None) -> Measured:
        self.measured.append(step)
        weights = load_file(model / "model.safetensors")["weights"]
        refused = "it forgot" if step in self._refused else ""
        return rates(step, abs(float(weights[0]) - 0.8), refused=refused)


def rates(step: int, wer: float, *, refused: str = "") -> Measured:
    return Measured(step=step, wer=wer, cer=wer, utterances=10, failed=0, refused=refused)


class Threads:
    """Ranks that are threads; a call that not all of them make ends them all."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=20)
        self.values: list[Any] = [None] * size

    def rank(self, rank: int) -> Ranks:
        return _Rank(self, rank)


class _Rank(Ranks):
    def __init__(self, threads: Threads, rank: int) -> None:
        super().__init__()
        self._threads, self.rank, self.size = threads, rank, threads.size

    def gather(self, value: Any) -> list[Any]:
        self._threads.values[self.rank] = json.loads(json.dumps(value))
        self._threads.barrier.wait()
        found = list(self._threads.values)
        self._threads.barrier.wait()
        return found


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.steps: list[StepInfo] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.saves: list[int] = []

    def step(self, info: StepInfo) -> None:
        self.steps.append(info)

    def evaluated(self, measured: Measured) -> None: ...

    def saved(self, step: int) -> None:
        self.saves.append(step)

    def event(self, kind: str, **numbers: Any) -> None:
        self.events.append((kind, numbers))


def loop_options(steps: int = 4, rate: float = 0.5, **more: Any) -> LoopOptions:
    usual = {"evaluate_every": 2, "save_every": 2}
    return LoopOptions(steps=steps, schedule=Schedule(rate, 0, steps), **{**usual, **more})


def run_training(
    folder: Path,
    options: LoopOptions | None = None,
    *,
    trainer: Trainer | None = None,
    loader: Loader | None = None,
    evaluator: Evaluator | str | None = "usual",
    ranks: Ranks | None = None,
    stop: StopRequest | None = None,
    listener: Listener | None = None,
) -> TrainingState:
    """As the command does it: go on where the folder's checkpoints end."""
    trainer, ranks = trainer or Trainer(), ranks or Ranks()
    checkpoints = Checkpoints(folder)
    with resumable():
        state = resume(trainer, checkpoints, ranks, UTTERANCES)
        return train(
            trainer,
            loader or Loader(ranks.rank, ranks.size),  # type: ignore[arg-type]
            checkpoints,
            Evaluator() if evaluator == "usual" else evaluator,  # type: ignore[arg-type]
            state,
            options or loop_options(),
            ranks,
            stop or StopRequest(),
            listener or Listeners(()),
        )
