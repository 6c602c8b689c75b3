"""Praat TextGrid, long text form: interval tiers that cover the whole time without gaps.

One recording gives the tiers ``segments`` and, where words are known, ``words``; of several each
gives the tier ``NAME`` and perhaps ``NAME words``, side by side from 0 to the longest duration.
Intervals cannot overlap: a segment begins no earlier than the one before it ends, and the text of
one that ends before that is added to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from speechkit.formats.clean_text import one_line, tidy
from speechkit.formats.format import Format
from speechkit.records import Recording, Segment, Word

Interval = tuple[int, int, str]  # start and end in milliseconds, text


def render(recordings: Sequence[Recording]) -> str:
    """Times in seconds with three decimals; an interval is at least 1 ms long."""
    tidied = [tidy(recording) for recording in recordings]
    end = max([1, *(round(recording.duration * 1000) for recording in tidied)])
    tiers = [
        (name, _cover(spans, end))
        for recording in tidied
        for name, spans in _tiers(recording, several=len(tidied) > 1)
    ]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0.000",
        f"xmax = {_seconds(end)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for index, (name, intervals) in enumerate(tiers, start=1):
        lines += _tier_lines(index, name, intervals, end)
    return "\n".join(lines) + "\n"


def _tiers(recording: Recording, several: bool) -> Iterator[tuple[str, Sequence[Segment | Word]]]:
    name = one_line(recording.name)
    yield (name if several else "segments"), recording.segments
    words = [word for segment in recording.segments for word in segment.words]
    if words:
        yield (f"{name} words" if several else "words"), words


def _cover(spans: Sequence[Segment | Word], end_of_tier: int) -> list[Interval]:
    """The spans that have text, clipped and in order, with empty intervals between them."""
    intervals: list[Interval] = []
    cursor = 0
    for span in spans:
        start, end = round(span.start * 1000), round(span.end * 1000)
        if not span.text:
            continue
        if intervals and end <= cursor:
            begin, _, text = intervals[-1]
            intervals[-1] = (begin, cursor, f"{text} {span.text}")
            continue
        start = min(max(start, cursor), end_of_tier - 1)
        end = max(start + 1, end)
        if start > cursor:
            intervals.append((cursor, start, ""))
        intervals.append((start, end, span.text))
        cursor = end
    if cursor < end_of_tier:
        intervals.append((cursor, end_of_tier, ""))
    return intervals


def _tier_lines(index: int, name: str, intervals: Sequence[Interval], end: int) -> Iterator[str]:
    yield f"    item [{index}]:"
    yield '        class = "IntervalTier"'
    yield f"        name = {_quoted(name)}"
    yield "        xmin = 0.000"
    yield f"        xmax = {_seconds(end)}"
    yield f"        intervals: size = {len(intervals)}"
    for number, (start, stop, text) in enumerate(intervals, start=1):
        yield f"        intervals [{number}]:"
        yield f"            xmin = {_seconds(start)}"
        yield f"            xmax = {_seconds(stop)}"
        yield f"            text = {_quoted(text)}"


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


FORMAT = Format(name="textgrid", extension=".TextGrid", stage="asr", render=render, of_words=True)
