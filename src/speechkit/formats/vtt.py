"""WebVTT subtitles (https://www.w3.org/TR/webvtt1/): a segment a cue, on one line.

Several recordings lie one after the other on one time line, each after a NOTE with its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from speechkit.formats.common import cue_times, in_sequence, one_line
from speechkit.records import Recording

EXTENSION = ".vtt"


def render(recordings: Sequence[Recording]) -> str:
    """``&``, ``<`` and ``>`` are escaped, so no text is taken for a tag or for cue times."""
    blocks = ["WEBVTT"]
    for recording in in_sequence(recordings):
        if len(recordings) > 1:
            blocks.append(f"NOTE {escape(one_line(recording.name), quote=False)}")
        blocks += [
            f"{cue_times(segment, '.')}\n{escape(segment.text, quote=False)}"
            for segment in recording.segments
            if segment.text
        ]
    return "\n\n".join(blocks) + "\n"
