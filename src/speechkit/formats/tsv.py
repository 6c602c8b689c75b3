"""Whisper's TSV: ``start end text`` in integer milliseconds, under a header.

A file of several recordings has the column ``recording`` before them.
"""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.formats.clean_text import one_line, tidy
from speechkit.formats.format import Format
from speechkit.records import Recording


def render(recordings: Sequence[Recording]) -> str:
    """A row for each segment in which something was said."""
    several = len(recordings) != 1
    rows = [("recording", "start", "end", "text")]
    for recording in map(tidy, recordings):
        name = one_line(recording.name)
        for segment in recording.segments:
            if segment.text:
                start, end = round(segment.start * 1000), round(segment.end * 1000)
                rows.append((name, str(start), str(end), segment.text))
    return "".join("\t".join(row if several else row[1:]) + "\n" for row in rows)


FORMAT = Format(name="tsv", extension=".tsv", stage="asr", render=render)
