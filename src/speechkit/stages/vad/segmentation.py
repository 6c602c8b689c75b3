"""From speech probabilities of frames to speech segments."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SegmentationOptions:
    """How probabilities become segments; times in seconds. Raises UsageError if out of range.

    Speech begins at a frame of at least ``threshold`` and lasts until one below
    ``threshold - hysteresis``. Pauses shorter than ``min_silence`` are then closed, stretches
    shorter than ``min_speech`` dropped, ``pad`` added on both sides (two segments share a gap too
    short for both pads), and what is longer than ``max_segment`` is cut.
    """

    threshold: float
    hysteresis: float
    min_speech: float
    min_silence: float
    pad: float
    max_segment: float

    def __post_init__(self) -> None:
        _require(0 < self.threshold <= 1, "threshold", self.threshold, "above 0 and at most 1")
        _require(
            0 <= self.hysteresis < self.threshold,
            "hysteresis",
            self.hysteresis,
            f"at least 0 and below the threshold ({self.threshold})",
        )
        for name in ("min_speech", "min_silence", "pad"):
            seconds = getattr(self, name)
            _require(0 <= seconds < math.inf, name, seconds, "at least 0 seconds")
        _require(
            self.max_segment >= max(1.0, 2 * self.min_speech),
            "max_segment",
            self.max_segment,
            "at least 1 second and twice min_speech",
        )


def _require(holds: bool, name: str, value: float, limits: str) -> None:
    if not holds:
        raise UsageError(f"VAD option {name} is {value}: it has to be {limits}.")


# Chosen by cross-validation over all labelled recordings at hand, a second missed for four too much
# (scripts/bench/vad_accuracy.py --choose). What they trade:
# - Threshold up: fewer false alarms, but faint and distant words and telephone speech go first.
# - Hysteresis up: distant speech holds together, but below 0.4 `ten` hears speech in any noise.
# - Pauses of a fifth of a second end a segment, as annotators hear them; recognisers that want
#   whole sentences do better with min_silence 0.5 and pad 0.2. (`asr` pads and joins by itself.)
# - min_speech keeps short words; clicks of that length come with them. A frame of `silero` is so
#   long that 0.1 loses next to none of them.
# - Half a minute is what most recognisers take at once.
DEFAULTS: dict[str, SegmentationOptions] = {
    "ten": SegmentationOptions(
        threshold=0.45,
        hysteresis=0.0,
        min_speech=0.05,
        min_silence=0.2,
        pad=0.03,
        max_segment=30.0,
    ),
    "silero": SegmentationOptions(
        threshold=0.35,
        hysteresis=0.1,
        min_speech=0.1,
        min_silence=0.2,
        pad=0.06,
        max_segment=30.0,
    ),
}


def defaults(engine: str) -> SegmentationOptions:
    """The values that suit an engine; those of `ten` for an engine of another package."""
    return DEFAULTS.get(engine, DEFAULTS["ten"])


def speech_segments(
    probabilities: NDArray[np.float32],
    hop: float,
    duration: float,
    options: SegmentationOptions,
) -> list[tuple[float, float]]:
    """Speech as (start, end) in seconds, in order, never overlapping, within 0..``duration``.

    ``probabilities[i]`` describes the audio from ``i * hop`` to ``(i + 1) * hop`` seconds. Times
    are rounded to milliseconds.
    """
    import numpy as np

    first, end = _runs(probabilities, options.threshold, options.threshold - options.hysteresis)
    starts, ends = first * hop, np.minimum(end * hop, duration)

    apart = starts[1:] - ends[:-1] >= options.min_silence
    starts = starts[np.concatenate(([True], apart))[: len(starts)]]
    ends = ends[np.concatenate((apart, [True]))[: len(ends)]]

    long_enough = ends - starts >= options.min_speech
    starts, ends = starts[long_enough], ends[long_enough]
    if len(starts) == 0:
        return []

    middles = (ends[:-1] + starts[1:]) / 2
    starts = np.maximum(starts - options.pad, np.concatenate(([0.0], middles)))
    ends = np.minimum(ends + options.pad, np.concatenate((middles, [duration])))

    segments: list[tuple[float, float]] = []
    for start, stop in zip(starts.round(3).tolist(), ends.round(3).tolist(), strict=True):
        if start == stop:  # less than half a millisecond, at the recording's end
            continue
        edges = [start, *_cuts(probabilities, hop, start, stop, options), stop]
        segments.extend(itertools.pairwise(edges))
    return segments


def _runs(
    probabilities: NDArray[np.float32], enter: float, leave: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First frame and frame past the end of each stretch of speech.

    A frame between the two thresholds is what the last one outside them was: 1 at or above
    ``enter``, 0 below ``leave``, 0 before any.
    """
    import numpy as np

    decided = (probabilities >= enter) | (probabilities < leave)
    last = np.maximum.accumulate(np.where(decided, np.arange(len(probabilities)), -1))
    speech = (last >= 0) & (probabilities[last] >= enter)
    edges = np.flatnonzero(np.diff(speech, prepend=False, append=False))
    return edges[::2], edges[1::2]


def _cuts(
    probabilities: NDArray[np.float32],
    hop: float,
    start: float,
    stop: float,
    options: SegmentationOptions,
) -> list[float]:
    """Where to cut ``start``..``stop`` so that no piece is longer than ``max_segment``.

    Each cut is the middle of the quietest frame (the last of equals) in the second half of what
    is allowed, and leaves no rest shorter than ``min_speech``.
    """
    import numpy as np

    cuts: list[float] = []
    while stop - start > options.max_segment:
        latest = min(start + options.max_segment, stop - options.min_speech)
        first = math.ceil((start + options.max_segment / 2) / hop - 0.5)
        window = probabilities[first : math.floor(latest / hop - 0.5) + 1]
        quietest = first + len(window) - 1 - int(np.argmin(window[::-1]))
        start = math.floor((quietest + 0.5) * hop * 1000) / 1000
        cuts.append(start)
    return cuts
