"""What a Whisper runtime does for `decoder.Whisper`; the two of them are hf.py and ct2.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from speechkit.engines.asr.whisper.vocabulary import Vocabulary

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform


@dataclass(frozen=True, slots=True)
class Draft:
    """A decoded window: its tokens without the prompt and the end, and probabilities.

    ``log_probability`` is the mean over the tokens and the end.
    """

    tokens: list[int]
    log_probability: float
    no_speech: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where text tokens lie: token i begins at ``starts[i]`` seconds of its window; one start more,
    the end of the last. ``probabilities`` of each token."""

    starts: list[float]
    probabilities: list[float]


@dataclass(frozen=True, slots=True)
class Search:
    """How tokens are chosen: the likeliest by ``beams``, or at a ``temperature`` above 0 at random,
    with the numbers of a ``seed``."""

    beams: int = 1
    temperature: float = 0.0
    seed: int = 0


class Backend(Protocol):
    """One loaded model on one device. ``chunk`` in seconds, ``longest`` in tokens. ``detects``:
    it can tell the language."""

    vocabulary: Vocabulary
    chunk: float
    longest: int
    device: str
    compute_type: str
    detects: bool

    def batch_size(self, beams: int) -> int:
        """How many windows fit in the device's free memory."""
        ...

    def features(self, waveforms: Sequence[Waveform]) -> Any:
        """Log-mel features [windows, mels, frames], each padded to the chunk. Runs ahead of the
        model in another thread."""
        ...

    def encode(self, features: Any) -> Any: ...

    def languages(self, encoded: Any) -> list[dict[str, float]]:
        """The probability of each language, window by window."""
        ...

    def decode(
        self, encoded: Any, prompts: list[list[int]], search: Search, most: int
    ) -> list[Draft]:
        """A draft a window, of ``most`` tokens at most; the prompts are equally long."""
        ...

    def align(
        self, encoded: Any, start: list[int], texts: list[list[int]], seconds: list[float]
    ) -> list[Alignment]:
        """Where the text tokens of each window lie in its ``seconds`` of audio."""
        ...

    def out_of_memory(self, error: Exception) -> bool: ...

    def free_memory(self) -> None:
        """Gives cached device memory back."""
        ...
