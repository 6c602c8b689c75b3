"""Discrete units as unit language models read them: an utterance a line, ``name|71 12 4``."""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.formats.clean_text import one_line
from speechkit.formats.format import Format
from speechkit.records import Recording


def render(recordings: Sequence[Recording]) -> str:
    """The names of several utterances in a recording end with their milliseconds."""
    lines = []
    for recording in recordings:
        name = one_line(recording.name).replace("|", "_")
        for segment in recording.utterances:
            where = f"_{round(segment.start * 1000)}-{round(segment.end * 1000)}"
            full_name = name + where if len(recording.utterances) > 1 else name
            lines.append(f"{full_name}|{' '.join(map(str, segment.units))}\n")
    return "".join(lines)


FORMAT = Format(name="units", extension=".units", stage="s2s", render=render)
