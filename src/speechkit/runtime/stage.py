"""A stage: its processor, which works on batches in worker processes, and how it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from speechkit.engines.protocols import SAMPLE_RATE, DeviceUse
from speechkit.errors import UtteranceError
from speechkit.io import manifest
from speechkit.io.inputs import Inputs
from speechkit.io.json_lines import parse_line
from speechkit.records import Division, Record, Utterance
from speechkit.runtime.batching import EQUAL, Batch, BatchSizes, batches

if TYPE_CHECKING:
    from speechkit.io.decoders.decoder_choice import Observer


@dataclass(frozen=True, slots=True)
class Loaded:
    """An utterance with the ``data`` from `Processor.load`, and its ``seconds`` of audio."""

    utterance: Utterance
    data: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class Payload:
    """An answer that isn't written but handed to the caller: ``data`` that JSON would bloat."""

    record: Record
    data: bytes


class Processor(Protocol):
    """The work of a stage. Each worker process receives a pickle, opens it and feeds it batches."""

    one_by_one: bool  # compute is given single utterances; a crash then costs exactly one

    def open(self) -> None:
        """Build the engine. Raises `EngineMissing` or `EngineFailed`."""
        ...

    def load(self, utterance: Utterance) -> Loaded:
        """Read the audio of an utterance, and do what needs no engine. Raises an `UtteranceError`.

        Several threads call it at once, while `open` and `compute` run.
        """
        ...

    def divide(self, loaded: Loaded) -> Division | None:
        """How a long utterance is divided, so that all workers share it; None to compute it whole.

        Depends on nothing but the utterance and the kind of device.
        """
        return None

    def expected_parts(self, seconds: float) -> int:
        """The number of parts of an utterance of so many seconds; 0 if it is computed whole.

        An estimate, by which the workers that the parts need are started while it is divided.
        """
        return 0

    def compute(
        self, batch: Sequence[Loaded]
    ) -> Iterable[Sequence[Record] | Payload | UtteranceError]:
        """Return the output records of each utterance, or its error, in the order of the batch.

        A part of an utterance has one record, which only `join` reads. After an error that is
        raised, the utterances without an answer are computed one by one.
        """
        ...

    def join(
        self, utterance: Utterance, division: Division, results: Sequence[Record]
    ) -> Sequence[Record]:
        """Return the output records of a divided utterance, from the results of its parts."""
        return results

    def weight(self, seconds: float) -> float:
        """The seconds of audio by which the time limit of an utterance is computed."""
        return seconds

    def survey(self, inputs: Inputs, *, restart: bool) -> None:
        """Check all of the input before a worker starts. Raises `UsageError`."""
        return

    def device_use(self) -> DeviceUse | None:
        """The use of the device so far; None for an engine without a choice of device."""
        return None


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The default use of the machine by a stage.

    ``workers``: number of processes, 0 for one per CPU granted. ``threads``: of the numeric
    libraries in each process, 0 for its share of the CPUs. ``loaders``: threads in each process
    that load the next batch while the engine works, 0 for none. ``gpus``: one for each process, as
    CUDA_VISIBLE_DEVICES names them; empty to leave that variable as it is.
    """

    workers: int = 0
    threads: int = 1
    loaders: int = 0
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage, ready to run.

    ``options``: all options that the results depend on; a resumed run must have the same ones.
    ``batch_audio``: seconds of audio in a batch. ``batch_sizes``: utterances in a batch.
    ``packages``: distributions with versions in the summary. ``result_keys``: keys of every
    successful record. ``error_keys``: keys of a failed record beside its error. ``cuts``: an
    utterance gives any number of lines, segments with it as their ``parent``; otherwise one line.
    ``stalls``: its engine may hang on any input, so that the first stall ends the run instead of
    costing an utterance. ``scratch``: folder for temporary files of the workers, if they write any.
    ``inputs``: class of its inputs. ``conclude``: makes the final records of all utterances from
    those of the processor, in input order, a line each. It runs in the main process, before the
    output gets its name: once more after a kill, and over its own records when failed utterances
    are tried again. ``output``: its only output, where it writes more than that. ``holds``: whether
    what a successful record, of the utterance of this index, refers to is there; otherwise, the
    utterance is computed again. ``lacking``: a file, lost or damaged, of a finished output of so
    many utterances; "" for none. ``grows``: a finished output is continued over an input that has
    gained utterances at its end.
    """

    name: str
    processor: Processor
    batch_audio: float
    options: Mapping[str, Any]
    packages: Sequence[str] = ()
    result_keys: Sequence[str] = ()
    error_keys: Record = field(default_factory=dict)
    cuts: bool = False
    batch_sizes: BatchSizes = EQUAL
    worker_plan: WorkerPlan = WorkerPlan()
    stalls: bool = False
    scratch: Path | None = None
    inputs: type[Inputs] = Inputs
    conclude: Callable[[Iterator[Record]], Iterator[Record]] | None = None
    output: Path | None = None
    holds: Callable[[int, Record], bool] = lambda index, record: True
    lacking: Callable[[int], str] = lambda count: ""
    grows: bool = False

    @property
    def judges(self) -> bool:
        """Whether its records say if an utterance is valid."""
        return "valid" in self.result_keys

    def concluded(self, groups: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
        """The final lines of each utterance, in input order."""
        if self.conclude is None:
            yield from groups
            return
        records = (parse_line(line, "") for lines in groups for line in lines)
        for record in self.conclude(records):
            yield [manifest.encoded(record)]

    def batches(self, utterances: Iterable[Utterance], total: int, workers: int) -> Iterator[Batch]:
        """The batches in which ``workers`` processes share a ``total`` of utterances."""
        return batches(utterances, self.batch_audio, self.batch_sizes, total=total, workers=workers)

    def batches_of_parts(self, parts: Sequence[Utterance], workers: int) -> Iterator[Batch]:
        """The batches in which ``workers`` processes share parts of long utterances."""
        share = sum(part.duration or 0.0 for part in parts) / workers
        most = BatchSizes(most=self.batch_sizes.most)
        return batches(parts, min(self.batch_audio, share), most)


def load_audio(
    utterance: Utterance,
    channel: int | None,
    track: str | None,
    observe: Callable[[int], Observer] | None = None,
) -> Loaded:
    """Load an utterance's `audio.Audio` at `SAMPLE_RATE`. ``observe``: as in `audio.load`.

    Raises an ``Audio…`` error.
    """
    from speechkit.io import audio

    loaded = audio.load(
        utterance.audio,
        offset=utterance.offset,
        duration=utterance.duration,
        sample_rate=SAMPLE_RATE,
        channel=channel,
        track=track,
        observe=observe,
    )
    return Loaded(utterance, loaded, loaded.seconds)
