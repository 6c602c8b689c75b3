"""NIST RTTM: ``SPEAKER <file> 1 <onset> <duration> <NA> <NA> speech <NA> <NA>`` a segment.

Spaces in a recording's name become underscores.
"""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.formats.clean_text import file_ids, tidy
from speechkit.formats.format import Format
from speechkit.records import Recording


def render(recordings: Sequence[Recording]) -> str:
    """Segments of no length are left out; UsageError where two names would become one."""
    return "".join(
        f"SPEAKER {file_id} 1 {segment.start:.3f} {segment.end - segment.start:.3f} "
        "<NA> <NA> speech <NA> <NA>\n"
        for file_id, recording in zip(file_ids(recordings), map(tidy, recordings), strict=True)
        for segment in recording.segments
        if segment.end > segment.start
    )


FORMAT = Format(name="rttm", extension=".rttm", stage="vad", render=render)
