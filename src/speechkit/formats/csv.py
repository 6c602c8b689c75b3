"""CSV with the columns ``recording,start,end``, times in seconds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from speechkit.formats.common import one_line, tidy
from speechkit.records import Recording

EXTENSION = ".csv"


def render(recordings: Sequence[Recording]) -> str:
    """Segments of no length are left out."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("recording", "start", "end"))
    for recording in map(tidy, recordings):
        name = one_line(recording.name)
        writer.writerows(
            (name, f"{segment.start:.3f}", f"{segment.end:.3f}")
            for segment in recording.segments
            if segment.end > segment.start
        )
    return text.getvalue()
