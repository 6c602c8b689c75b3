"""The interface of a Whisper runtime: the backends are `whisper.engine` and `faster_whisper`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from speechkit.engines.asr.whisper.vocabulary import Vocabulary

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform


@dataclass(frozen=True, slots=True)
class Draft:
    """A decoded window: its tokens without the prompt and the end, and their probability.

    ``log_probability`` is the mean over the tokens and the end.
    """

    tokens: list[int]
    log_probability: float
    no_speech: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """The times of text tokens: token i begins at ``starts[i]`` seconds of its window.

    One more start is the end of the last token. ``probabilities``: one for each token.
    """

    starts: list[float]
    probabilities: list[float]


@dataclass(frozen=True, slots=True)
class Search:
    """The choice of tokens: the likeliest by ``beams``, or random at a ``temperature`` above 0.

    ``seed``: of the random numbers.
    """

    beams: int = 1
    temperature: float = 0.0
    seed: int = 0


class Backend(Protocol):
    """A loaded model on a device.

    ``chunk``: seconds of the longest clip. ``context``: seconds of the clips that a fine-tune has
    learnt, which are encoded in a window of just that length; 0 where it states none. ``longest``
    in tokens. ``detects``: it can detect the language. ``parts``: the seconds of its work for the
    engine that has it, by part: features, encoder, decoder, alignment.
    ``windows_a_row``: it decodes so many windows in a call for each that it decodes at once, the
    next where one has ended.
    """

    vocabulary: Vocabulary
    chunk: float
    context: float
    longest: int
    device: str
    compute_type: str
    detects: bool
    windows_a_row: int

    @property
    def parts(self) -> dict[str, float]: ...

    def batch_size(self, beams: int, tried: int = 0) -> int:
        """The number of windows decoded at once that fit in the device's free memory.

        ``tried``: the number in a first batch, which has shown how much memory they take.
        """
        ...

    def window(self, seconds: float) -> float:
        """The seconds of the window in which a clip is encoded, whatever it is batched with."""
        ...

    def features(self, waveforms: Sequence[Waveform]) -> Any:
        """What `encode` takes for these clips, which share a `window`, with a row for each.

        Called ahead of the model, in another thread.
        """
        ...

    def longer_window(self, waveform: Waveform) -> Any | None:
        """What `encode` takes for a clip in a window of the checkpoint's length; None where its own
        is that, or the context of a fine-tune."""
        ...

    def encode(self, features: Any, rows: int) -> Any:
        """What the other methods take for these windows; ``rows``: as in `decode`."""
        ...

    def languages(self, encoded: Any) -> list[dict[str, float]]:
        """The probability of each language, window by window."""
        ...

    def decode(
        self,
        encoded: Any,
        prompts: list[list[int]],
        search: Search,
        limits: list[int],
        rows: int,
    ) -> list[Draft]:
        """A draft for each window; the prompts are equally long.

        A prompt may end in text, which the draft continues; then it may end at once. ``limits``:
        tokens of a draft, at most, by window. ``rows``: windows decoded at once.
        """
        ...

    def align(
        self, encoded: Any, start: list[int], texts: list[list[int]], seconds: list[float]
    ) -> list[Alignment]:
        """The times of the text tokens of each window in its ``seconds`` of audio."""
        ...

    def out_of_memory(self, error: Exception) -> bool: ...

    def free_memory(self) -> None:
        """Release cached device memory."""
        ...
