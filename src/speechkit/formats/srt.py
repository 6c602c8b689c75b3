"""SubRip subtitles.

Several recordings lie one after the other on one time line. SubRip has no escapes: an arrow in
the text, which would end the cue, is shortened to ``->``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from speechkit.formats.cues import LAYOUT, Layout, typeset
from speechkit.records import Recording

_ARROW = re.compile("--+>")


@dataclass(frozen=True, slots=True)
class Srt:
    layout: Layout = LAYOUT
    EXTENSION = ".srt"

    def render(self, recordings: Sequence[Recording]) -> str:
        """Cues numbered from 1."""
        cues = (cue for recording in typeset(recordings, self.layout) for cue in recording)
        return "".join(
            f"{number}\n{cue.times(',')}\n{_ARROW.sub('->', cue.text)}\n\n"
            for number, cue in enumerate(cues, start=1)
        )
