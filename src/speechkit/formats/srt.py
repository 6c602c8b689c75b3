"""SubRip subtitles.

Several recordings lie one after the other on one time line. SubRip has no escapes: an arrow in
the text, which would end the cue, is shortened to ``->``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from speechkit.formats.cues import LAYOUT, Cue, Layout, typeset
from speechkit.formats.format import Format
from speechkit.records import Recording

_ARROW = re.compile("--+>")


def render(recordings: Sequence[Recording], layout: Layout = LAYOUT) -> str:
    """Cues numbered from 1."""
    cues = (cue for own in typeset(recordings, layout) for cue in own)
    return "".join(block(number, cue) for number, cue in enumerate(cues, start=1))


def block(number: int, cue: Cue) -> str:
    """The cue as it stands in a file."""
    return f"{number}\n{cue.times(',')}\n{_ARROW.sub('->', cue.text)}\n\n"


FORMAT = Format(
    name="srt", extension=".srt", stage="asr", render=render, of_words=True, has_layout=True
)
