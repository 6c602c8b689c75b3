"""SubRip subtitles: a segment a cue, on one line, which players wrap to their width.

Several recordings lie one after the other on one time line. SubRip has no escapes: an arrow in
the text, which would end the cue, is shortened to ``->``.
"""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.formats.common import cue_times, in_sequence
from speechkit.records import Recording

EXTENSION = ".srt"


def render(recordings: Sequence[Recording]) -> str:
    """Cues numbered from 1, one for each segment in which something was said."""
    spoken = [s for recording in in_sequence(recordings) for s in recording.segments if s.text]
    return "".join(
        f"{number}\n{cue_times(segment, ',')}\n{(segment.text or '').replace('-->', '->')}\n\n"
        for number, segment in enumerate(spoken, start=1)
    )
