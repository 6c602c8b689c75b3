"""Speech segments from the speech probabilities of frames."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Stretches = NDArray[np.float64]  # [stretches, 2]: starts and ends in seconds, in order


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationOptions:
    """The options of segmentation; times in seconds. Raises `UsageError` for values out of range.

    Speech begins at a frame of at least ``threshold`` and ends before a frame below
    ``threshold - hysteresis``. Then pauses shorter than ``min_silence`` are closed, stretches
    shorter than ``min_speech`` are dropped, and ``pad`` is added on both sides; two segments share
    a gap too short for both pads. Finally segments longer than ``max_segment`` are cut.
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


# Chosen by cross-validation over all labelled recordings, where a missed second weighs as much as
# four false ones (scripts/bench/vad_accuracy.py --choose). The trade-offs:
# - A higher threshold gives fewer false alarms, but first loses faint, distant and
#   telephone speech.
# - A higher hysteresis joins distant speech, but below 0.4 `ten` hears speech in any noise.
# - A pause of 0.2 s ends a segment, as annotators hear it. Recognisers that need whole sentences do
#   better with min_silence 0.5 and pad 0.2. (`asr` itself pads and joins.)
# - min_speech keeps short words, and with them clicks of that length. The frames of `silero` are so
#   long that 0.1 loses almost no words.
# - Most recognisers decode at most 30 s at once.
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


def default_segmentation(engine: str) -> SegmentationOptions:
    """The default options of an engine; those of `ten` for an engine of another package."""
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

    edges = speech_edges(probabilities, options)
    if len(edges) % 2:
        edges = np.append(edges, len(probabilities))
    stretches: Stretches = edges.reshape(-1, 2) * np.float64(hop)
    stretches[-1:, 1] = np.minimum(stretches[-1:, 1], duration)
    stretches = long_enough(joined(stretches, options), options)
    segments: list[tuple[float, float]] = []
    for start, stop in padded(stretches, duration, options):
        cut = [start, *_cuts(probabilities, hop, start, stop, options), stop]
        segments.extend(itertools.pairwise(cut))
    return segments


def speech_edges(
    probabilities: NDArray[np.float32], options: SegmentationOptions, *, speaking: bool = False
) -> NDArray[np.int64]:
    """The first frame of each stretch of speech and the frame after its last, in turn.

    A frame is speech at or above the threshold, and none below it by more than the hysteresis. A
    frame between these is what the one before is. ``speaking``: the frame before the first one is
    speech, so that the first edge is an end. Speech that goes on at the last frame has no end yet.
    """
    import numpy as np

    enters = probabilities >= options.threshold
    decided = enters | (probabilities < options.threshold - options.hysteresis)
    last = np.maximum.accumulate(np.where(decided, np.arange(len(probabilities)), -1))
    speech = np.where(last >= 0, enters[last], speaking)
    return np.flatnonzero(np.diff(speech, prepend=speaking))


def joined(stretches: Stretches, options: SegmentationOptions) -> Stretches:
    """The stretches with pauses shorter than ``min_silence`` closed."""
    import numpy as np

    apart = stretches[1:, 0] - stretches[:-1, 1] >= options.min_silence
    first = np.concatenate(([True], apart))[: len(stretches)]
    last = np.concatenate((apart, [True]))[: len(stretches)]
    return np.column_stack((stretches[first, 0], stretches[last, 1]))


def long_enough(stretches: Stretches, options: SegmentationOptions) -> Stretches:
    return stretches[stretches[:, 1] - stretches[:, 0] >= options.min_speech]


def padded(
    stretches: Stretches, duration: float, options: SegmentationOptions
) -> list[tuple[float, float]]:
    """The stretches with ``pad`` on both sides, or half of a gap that is too short for both.

    Within 0..``duration``, rounded to milliseconds.
    """
    import numpy as np

    starts, ends = stretches.T
    middles = (ends[:-1] + starts[1:]) / 2
    starts = np.maximum(starts - options.pad, np.concatenate(([0.0], middles))[: len(starts)])
    ends = np.minimum(ends + options.pad, np.concatenate((middles, [duration]))[-len(ends) :])
    times = zip(starts.round(3).tolist(), ends.round(3).tolist(), strict=True)
    return [time for time in times if time[0] < time[1]]  # above half a millisecond


def _cuts(
    probabilities: NDArray[np.float32],
    hop: float,
    start: float,
    stop: float,
    options: SegmentationOptions,
) -> list[float]:
    """The times at which to cut ``start``..``stop`` into pieces of at most ``max_segment``.

    Each cut is the middle of the frame with the lowest probability (the last of equals) in the
    second half of the longest possible piece, and leaves no rest shorter than ``min_speech``.
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
