"""Detection of doubtful text: too long for its time, or without speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speechkit.records import Segment, size_of
from speechkit.stages.asr.windows import Span, overlap

DOUBTFUL = "doubtful"
SURE = 0.7  # confidence below which text without speech is doubtful
FASTEST = 0.03  # seconds a letter: 1.5 times as fast as the fastest speakers


def with_doubts(segments: Sequence[Segment], judged: Sequence[Span]) -> list[Segment]:
    """The segments, with the doubtful ones flagged.

    A segment is doubtful if it is too short for its text, or if the VAD hears no speech in it
    (``judged``) and the engine isn't confident.
    """
    return [
        replace(segment, flags=(*segment.flags, DOUBTFUL))
        if not segment.flags and (_too_short(segment) or _without_speech(segment, judged))
        else segment
        for segment in segments
    ]


def _too_short(segment: Segment) -> bool:
    return segment.end - segment.start < FASTEST * size_of(segment.text or "")


def _without_speech(segment: Segment, judged: Sequence[Span]) -> bool:
    sure = segment.confidence is not None and segment.confidence >= SURE
    return not sure and not overlap([(segment.start, segment.end)], judged)
