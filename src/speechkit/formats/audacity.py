"""Audacity labels: ``start<TAB>end<TAB>speech`` in seconds.

Several recordings lie one after the other on one time line, labelled by their names.
"""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.formats.clean_text import in_sequence, one_line
from speechkit.formats.format import Format
from speechkit.records import Recording


def render(recordings: Sequence[Recording]) -> str:
    """Segments of no length are left out."""
    return "".join(
        f"{segment.start:.3f}\t{segment.end:.3f}\t"
        f"{'speech' if len(recordings) == 1 else one_line(recording.name)}\n"
        for recording in in_sequence(recordings)
        for segment in recording.segments
        if segment.end > segment.start
    )


FORMAT = Format(name="audacity", extension=".labels.txt", stage="vad", render=render)
