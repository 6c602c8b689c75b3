"""What an engine is. Engines see waveforms, never paths, manifests or SLURM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from speechkit.errors import UtteranceError
from speechkit.records import Hypothesis, Units, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Waveform = NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz, of every waveform an engine is given


class VadStream(Protocol):
    """Maps the waveform of one stream to speech probabilities while it comes in, piece by piece.

    All frames together are bit for bit those of `VadEngine.probabilities` for the whole waveform,
    wherever it was cut. What a stream holds doesn't grow.
    """

    def feed(self, waveform: Waveform) -> NDArray[np.float32]:
        """The next frames, as far as they are known with this piece, of any length."""
        ...

    def finish(self) -> NDArray[np.float32]:
        """The last frames. The stream can't be fed any more."""
        ...


class VadEngine(Protocol):
    """Maps waveforms to speech probabilities. Built once in each worker process."""

    hop: float  # seconds from one frame's start to the next

    def probabilities(self, waveforms: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """Speech probability of each frame of each waveform.

        Frame i of the answer describes the audio from ``i * hop`` to ``(i + 1) * hop`` seconds; a
        waveform of n samples gives ``ceil(n / (hop * 16000))`` frames.
        """
        ...

    def stream(self) -> VadStream:
        """A new stream, which knows nothing of others."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """Where an engine works; ``seconds`` of its work so far, and of its ``parts`` by name, such as
    features, encoder and decoder. ``reinitialised``: weights it has made anew, at random, in the
    place of a checkpoint's. ``one_by_one``: a batch would change its results, so it makes none."""

    device: str
    compute_type: str
    batch_size: int
    seconds: float
    reinitialised: tuple[str, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)
    one_by_one: bool = False


EACH = "each"  # among the names of a language option: the language of each clip is its own


def language_names(option: str | None) -> list[str]:
    """What ``--language`` names, in small letters: codes, or `EACH`."""
    names = (name.strip().lower() for name in (option or "").split(","))
    return [name for name in names if name]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What an ASR engine hears at once. ``speech``: seconds of speech in it, as far as VAD tells.
    ``language``: its code, where it is known already."""

    waveform: Waveform
    speech: float
    language: str | None = None

    @property
    def seconds(self) -> float:
        return len(self.waveform) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class LiveHypothesis:
    """What a `LiveDecoder` hears in a clip behind the words said; times from the clip's start.

    ``stable``: so many of the words the decoder itself will never change. ``flags``: doubts about
    them, as in `records.Segment`.
    """

    words: tuple[Word, ...] = ()
    language: str | None = None
    stable: int = 0
    flags: tuple[str, ...] = ()


class LiveDecoder(Protocol):
    """Decodes a stretch of audio again and again while it grows.

    ``longest``: seconds of the longest clip.
    """

    longest: float

    def hear(self, clip: Clip, said: Sequence[Word], *, ended: bool) -> LiveHypothesis:
        """The words in the clip after those ``said`` in it, which are final.

        Each clip begins where the one before began. ``said``: words of earlier hypotheses, with
        times from the clip's start. ``ended``: the speech is over, and these words will be final.
        """
        ...


class AsrEngine(Protocol):
    """Maps clips to hypotheses. Built once in each worker process.

    Inherit from it to get the defaults of `language`, `live` and `device_use`.
    """

    max_window: float  # seconds, of the longest clip
    least_window: float  # seconds; shorter clips take as long
    short_window: float = 0.0  # seconds; a clip of at most that has a window of just that length

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        """One hypothesis for each clip of each utterance, in order, as soon as it is there. Words
        have their times wherever the engine can tell them."""
        ...

    def language(self, clips: Iterable[Clip]) -> str | None:
        """The language in which the clips of one utterance are to be decoded.

        None if it is given, or each clip tells its own; then the clips are not looked at.
        """
        return None

    def live(self) -> LiveDecoder | None:
        """A decoder of a stretch of live audio; None for an engine that hears whole clips alone.

        `asr.live.live_decoder` then makes one of it.
        """
        return None

    def device_use(self) -> DeviceUse | None:
        """The use of the device so far; None for an engine without a choice of device."""
        return None


class S2sEngine(Protocol):
    """Maps speech to discrete units, and units to speech. Built once in each worker process; it may
    have been built with one of the halves alone."""

    shortest: int  # samples, of which a first frame can be made
    sample_rate: int  # Hz, of the speech it makes
    predicts_durations: bool

    def features(self, waveforms: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """[frames, width] of each waveform, from which units are made."""
        ...

    def encode(self, waveforms: Sequence[Waveform]) -> list[Units]: ...

    def synthesise(
        self, units: Sequence[Units], *, predict: bool
    ) -> Iterator[Waveform | UtteranceError]:
        """Speech of each at `sample_rate`, in order, as soon as it is there, or the error for which
        there is none, such as `UnitsInvalid`. ``predict``: durations of its own instead of the
        units'."""
        ...

    def device_use(self) -> DeviceUse | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """What an embed engine makes of a window: its ``vector`` [width], pooled over ``frames``."""

    vector: NDArray[np.float32]
    frames: int


class EmbedEngine(Protocol):
    """Maps speech to vectors. Built once in each worker process.

    It pools the frames of windows. A recording of more than `longest` samples comes in windows of
    equal length without overlap, whose vectors are joined by their `frames`: the largest of each
    component for `pooling` "max", otherwise the mean. `finish` then makes the final vectors.
    """

    pooling: str
    shortest: int  # samples, of which a first frame can be made
    longest: int  # samples, of the longest window; at least twice `shortest`
    widths: Mapping[str, int]  # of the final vectors by name: embeddings, and each adapter's

    def pool(self, windows: Sequence[Waveform]) -> list[Pooled]:
        """The vector of each window, in order. Between `shortest` and `longest` samples each."""
        ...

    def finish(self, pooled: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """The final vectors [n, widths[name]] by name, from ``pooled`` [n, width] of n utterances:
        normalised if the engine does that, and through each adapter."""
        ...

    def device_use(self) -> DeviceUse | None: ...
