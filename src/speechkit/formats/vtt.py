"""WebVTT subtitles (https://www.w3.org/TR/webvtt1/).

Several recordings lie one after the other on one time line, each after a NOTE with its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from speechkit.formats.clean_text import one_line
from speechkit.formats.cues import LAYOUT, Cue, Layout, typeset
from speechkit.formats.format import Format
from speechkit.records import Recording

HEADER = "WEBVTT"


def render(recordings: Sequence[Recording], layout: Layout = LAYOUT) -> str:
    """``&``, ``<`` and ``>`` are escaped, so no text is taken for a tag or for cue times."""
    blocks = [HEADER]
    for recording, cues in zip(recordings, typeset(recordings, layout), strict=True):
        if len(recordings) > 1:
            blocks.append(f"NOTE {escape(one_line(recording.name), quote=False)}")
        blocks += map(block, cues)
    return "\n\n".join(blocks) + "\n"


def block(cue: Cue) -> str:
    """The cue as it stands in a file, without the line feed at its end."""
    return f"{cue.times('.')}\n{escape(cue.text, quote=False)}"


FORMAT = Format(
    name="vtt", extension=".vtt", stage="asr", render=render, of_words=True, has_layout=True
)
