"""CSV with the columns ``recording,start,end``, times in seconds.

A name that a spreadsheet would compute (``=…``) has an apostrophe before it, as OWASP advises
against "CSV injection"; ``-`` and ``+`` alone are no formula, and videos are named so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from io import StringIO

from speechkit.formats.clean_text import one_line, tidy
from speechkit.formats.format import Format
from speechkit.records import Recording

_FORMULA = re.compile("[=@＝＠]|[+-].*[(|!]")


def render(recordings: Sequence[Recording]) -> str:
    """Segments of no length are left out."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("recording", "start", "end"))
    for recording in map(tidy, recordings):
        name = one_line(recording.name)
        name = f"'{name}" if _FORMULA.match(name) else name
        writer.writerows(
            (name, f"{segment.start:.3f}", f"{segment.end:.3f}")
            for segment in recording.segments
            if segment.end > segment.start
        )
    return text.getvalue()


FORMAT = Format(name="csv", extension=".csv", stage="vad", render=render)
