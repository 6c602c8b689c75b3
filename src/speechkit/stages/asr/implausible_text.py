"""Text that nobody can have said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speechkit.records import Segment, size_of
from speechkit.stages.asr.windows import Span, overlap

DOUBTFUL = "doubtful"
SURE = 0.7  # confidence; below it, text where there is no speech is doubted
FASTEST = 0.03  # seconds a letter: half as many again as the fastest speakers say


def with_doubts(segments: Sequence[Segment], judged: Sequence[Span]) -> list[Segment]:
    """The segments, those flagged that are too short for their text, or in which a VAD has found
    no speech (``judged``) and of which the engine doesn't say that it is sure."""
    return [
        replace(one, flags=(*one.flags, DOUBTFUL))
        if not one.flags and (_too_short(one) or _without_speech(one, judged))
        else one
        for one in segments
    ]


def _too_short(segment: Segment) -> bool:
    return segment.end - segment.start < FASTEST * size_of(segment.text or "")


def _without_speech(segment: Segment, judged: Sequence[Span]) -> bool:
    sure = segment.confidence is not None and segment.confidence >= SURE
    return not sure and not overlap([(segment.start, segment.end)], judged)
