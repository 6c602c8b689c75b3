"""What the loader's processes are to do for each step, and the step that their answers make."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechkit import errors
from speechkit.engines.finetune.protocol import TrainingExample
from speechkit.errors import UtteranceError
from speechkit.records import Utterance
from speechkit.runtime.messages import Outcome
from speechkit.training.batch_plan import Draw
from speechkit.training.training_data import TrainingData

ENDINGS = ("WorkerDied", "TimeLimit")  # after which an utterance is tried once more


@dataclass(frozen=True, slots=True)
class LoadedStep:
    """A step as this rank has it. ``used``: input indices of the ``examples``. ``failures``: why an
    utterance of the step could not be loaded now, by input index. ``unaugmented``: examples that
    stayed as they are because their augmentation failed."""

    number: int
    examples: tuple[TrainingExample, ...]
    used: tuple[int, ...]
    failures: Mapping[int, UtteranceError]
    unaugmented: int


@dataclass(slots=True)
class _Step:
    """A step in the making. ``draws`` by the number of their task; ``done`` likewise."""

    number: int
    draws: dict[int, Draw]
    done: dict[int, Outcome] = field(default_factory=dict)


class Tasks:
    """The tasks of the steps, an utterance each, as many ahead as may be held; ends and goes on as
    steps are taken. A task's number is the index of its utterance."""

    def __init__(
        self, shares: Iterator[tuple[int, Sequence[Draw]]], data: TrainingData, most: int
    ) -> None:
        self._shares = shares
        self._data = data
        self.most = most
        self._waiting: deque[Utterance] = deque()
        self._steps: deque[_Step] = deque()
        self._given: dict[int, tuple[_Step, Utterance]] = {}
        self._again: set[int] = set()
        self._count = 0
        self._all_begun = False

    def __iter__(self) -> Iterator[tuple[Utterance, ...]]:
        return self

    def __next__(self) -> tuple[Utterance, ...]:
        while not self._waiting:
            if self._all_begun or len(self._steps) >= self.most:
                raise StopIteration
            self._begin_next()
        return (self._waiting.popleft(),)

    @property
    def are_done(self) -> bool:
        return self._all_begun and not self._steps

    def _begin_next(self) -> None:
        begun = next(self._shares, None)
        if begun is None:
            self._all_begun = True
            return
        number, draws = begun
        step = _Step(number, {})
        self._steps.append(step)
        for draw in draws:
            one = self._data.utterances[draw.index].utterance
            record = {"audio_filepath": one.audio, "epoch": draw.epoch, "index": one.index}
            task = Utterance(self._count, one.audio, one.offset, one.duration, record)
            step.draws[task.index] = draw
            self._given[task.index] = step, task
            self._waiting.append(task)
            self._count += 1

    def answer(self, outcome: Outcome) -> None:
        step, task = self._given.pop(outcome.index)
        if outcome.error in ENDINGS and outcome.index not in self._again:
            self._again.add(outcome.index)
            self._given[outcome.index] = step, task
            self._waiting.appendleft(task)
        else:
            step.done[outcome.index] = outcome

    def finished(self) -> Iterator[LoadedStep]:
        """The steps that are ready, in order, each once."""
        while self._steps and len(self._steps[0].done) == len(self._steps[0].draws):
            yield self._loaded(self._steps.popleft())

    def _loaded(self, step: _Step) -> LoadedStep:
        examples: list[TrainingExample] = []
        used: list[int] = []
        failures: dict[int, UtteranceError] = {}
        unaugmented = 0
        for number, draw in step.draws.items():
            outcome = step.done[number]
            source = self._data.utterances[draw.index]
            line = json.loads(outcome.lines[0])
            if outcome.error:
                failures[source.utterance.index] = _error(line["error"])
                continue
            waveform = np.frombuffer(outcome.data, np.float32).copy()  # to be writable
            tokens = at_speed(source.tokens, line["speed"], self._data.first_timestamp)
            if line["seed"] % 2:
                tokens = without_times(tokens, self._data.first_timestamp)
            examples.append(TrainingExample(waveform, tokens, line["seed"]))
            used.append(source.utterance.index)
            unaugmented += line["unaugmented"]
        return LoadedStep(step.number, tuple(examples), tuple(used), failures, unaugmented)


def share(draws: Sequence[Draw], rank: int, ranks: int) -> list[Draw]:
    """The draws of one rank: dealt out to and fro, the longest first, so that all have equal work.

    ``draws``: the longest first.
    """
    return [
        draw
        for place, draw in enumerate(draws)
        if rank == (place % ranks if place // ranks % 2 == 0 else ranks - 1 - place % ranks)
    ]


def at_speed(tokens: tuple[int, ...], speed: float, first_timestamp: int) -> tuple[int, ...]:
    """A label of audio that was played at another speed: its times change, its text doesn't."""
    if speed == 1.0:
        return tokens
    return tuple(
        token
        if token < first_timestamp
        else first_timestamp + round((token - first_timestamp) / speed)
        for token in tokens
    )


def without_times(tokens: tuple[int, ...], first_timestamp: int) -> tuple[int, ...]:
    """A label without its times: every other use of it, so that a model learns text alone, too.

    The first of them becomes <|notimestamps|>, which stands before all timestamps.
    """
    times = [place for place, token in enumerate(tokens) if token >= first_timestamp]
    if not times:
        return tokens
    text = [token for token in tokens[times[0] :] if token < first_timestamp]
    return (*tokens[: times[0]], first_timestamp - 1, *text)


def _error(stated: Mapping[str, str]) -> UtteranceError:
    kind = vars(errors).get(stated["type"])
    if isinstance(kind, type) and issubclass(kind, UtteranceError):
        return kind(stated["message"])
    return UtteranceError(f"{stated['type']}: {stated['message']}")
