"""What an engine is. Engines see waveforms, never paths, manifests or SLURM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from speechkit.records import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Waveform = NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz, of every waveform an engine is given


class VadEngine(Protocol):
    """Maps waveforms to speech probabilities. Built once in each worker process."""

    hop: float  # seconds from one frame's start to the next

    def probabilities(self, waveforms: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """Speech probability of each frame of each waveform.

        Frame i of the answer describes the audio from ``i * hop`` to ``(i + 1) * hop`` seconds; a
        waveform of n samples gives ``ceil(n / (hop * 16000))`` frames.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """Where an engine works; ``seconds`` of its work so far."""

    device: str
    compute_type: str
    batch_size: int
    seconds: float


class AsrEngine(Protocol):
    """Maps waveforms to hypotheses. Built once in each worker process."""

    max_window: float  # seconds; longer windows are cut before they come here
    least_window: float  # seconds; shorter windows take as long
    long_form: bool  # finds its own way through waveforms of any length, and marks its segments

    def transcribe(self, utterances: Iterable[Sequence[Waveform]]) -> Iterator[list[Hypothesis]]:
        """One hypothesis for each window of each utterance, in order, as soon as it is there."""
        ...

    def device_use(self) -> DeviceUse | None: ...
