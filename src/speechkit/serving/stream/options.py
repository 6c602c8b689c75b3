"""The options of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from speechkit.errors import UsageError
from speechkit.stages.vad.segmentation import DEFAULTS, SegmentationOptions

ATTENTION, AGREEMENT = "attention", "agreement"
POLICIES = (ATTENTION, AGREEMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The options of a stream; times in seconds. Raises `UsageError` for values out of range.

    ``step``: of audio from one hypothesis to the next, at least. ``policy``: which words are final,
    as in `policy.final_words`, and its ``margin``. ``pause``: a silence after which all
    words are final. ``buffer``: the longest audio that is decoded at once. ``segmentation``: of the
    VAD.
    """

    step: float = 0.5
    policy: str = AGREEMENT
    margin: float = 0.3
    pause: float = 0.4
    buffer: float = 12.0
    segmentation: SegmentationOptions = DEFAULTS["silero"]

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UsageError(f"--policy {self.policy}: there are {' and '.join(POLICIES)}")
        _require("step", self.step, 0.1, 10.0)
        _require("margin", self.margin, 0.0, 5.0)
        _require("pause", self.pause, self.segmentation.min_silence, 2.0)
        _require("buffer", self.buffer, 4.0, 30.0)


def _require(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"--{name} {value:g}: it has to be from {least:g} to {most:g} seconds")
