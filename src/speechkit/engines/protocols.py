"""What an engine is. Engines see waveforms, never paths, manifests or SLURM."""

from __future__ import annotations

from collections.abc import Sequence
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


class AsrEngine(Protocol):
    """Maps waveforms to hypotheses. Built once in each worker process."""

    max_window: float  # seconds; longer waveforms are cut before they come here

    def transcribe(self, waveforms: Sequence[Waveform]) -> list[Hypothesis]:
        """One hypothesis a waveform, in order."""
        ...
