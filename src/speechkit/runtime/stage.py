"""A stage: its processor, which works on batches in worker processes, and how it is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from speechkit.engines.protocols import SAMPLE_RATE, DeviceUse
from speechkit.io.inputs import Inputs
from speechkit.records import Record, Utterance
from speechkit.runtime.batching import MOST


@dataclass(frozen=True, slots=True)
class Loaded:
    """An utterance with what `Processor.load` made of it; ``seconds`` of audio."""

    utterance: Utterance
    data: Any
    seconds: float


class Processor(Protocol):
    """A stage's work: pickled once to each worker process, opened there, then fed batches."""

    one_by_one: bool  # compute is given single utterances; a crash then costs exactly one

    def open(self) -> None:
        """Builds the engine. Raises `EngineMissing` or `EngineFailed`."""
        ...

    def load(self, utterance: Utterance) -> Loaded:
        """Reads the utterance's audio. Raises an `UtteranceError`."""
        ...

    def compute(self, batch: Sequence[Loaded]) -> Iterable[Sequence[Record]]:
        """The output records of each utterance, in order of the batch."""
        ...

    def weight(self, seconds: float) -> float:
        """The seconds of audio that an utterance counts as when its time is limited."""
        return seconds

    def survey(self, inputs: Inputs, *, restart: bool) -> None:
        """May look at all of the input before a worker is started. Raises `UsageError`."""
        return

    def device_use(self) -> DeviceUse | None:
        """None where the engine has no device to speak of."""
        return None


@dataclass(frozen=True, slots=True)
class Placement:
    """How a stage uses the machine where the user doesn't say.

    ``workers``: processes, 0 for one a CPU granted. ``threads``: of each one's numeric libraries,
    0 for its share of the CPUs.
    ``loaders``: threads in each that load the next batch while the engine is at work; 0: none.
    ``gpus``: as CUDA_VISIBLE_DEVICES names them, one for each process; none to leave that as it is.
    """

    workers: int = 0
    threads: int = 1
    loaders: int = 0
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """What to run.

    ``options`` are those that the results depend on: they pin a resumed run. ``batch_audio``:
    seconds of audio in a batch. ``packages``: distributions whose versions the summary gives.
    ``result_keys`` stand in the record of every other one, ``error_keys`` in that of a failed one
    beside its error. ``cuts``: an utterance
    may give any number of lines, segments with it as their ``parent``; else it gives one.
    ``batch_utterances`` are the most in a batch. ``stalls``: its engine is known to hang whatever
    it is given, so that a first stall ends the run instead of costing an utterance. ``scratch``:
    where its workers put files aside, if they do. ``inputs``: what it takes.
    """

    name: str
    processor: Processor
    batch_audio: float
    options: Mapping[str, Any]
    packages: Sequence[str] = ()
    result_keys: Sequence[str] = ()
    error_keys: Record = field(default_factory=dict)
    cuts: bool = False
    batch_utterances: int = MOST
    placement: Placement = Placement()
    stalls: bool = False
    scratch: Path | None = None
    inputs: type[Inputs] = Inputs


def load_audio(utterance: Utterance, channel: int | None, track: str | None) -> Loaded:
    """The utterance's `audio.Audio` at `SAMPLE_RATE`. Raises an ``Audio…`` error."""
    from speechkit.io import audio

    loaded = audio.load(
        utterance.audio,
        offset=utterance.offset,
        duration=utterance.duration,
        sample_rate=SAMPLE_RATE,
        channel=channel,
        track=track,
    )
    return Loaded(utterance, loaded, loaded.seconds)
