"""Plain text: a segment a line; of several recordings a recording a line, ``name<TAB>text``."""

from __future__ import annotations

from collections.abc import Sequence

from speechkit.formats.clean_text import one_line, tidy
from speechkit.formats.format import Format
from speechkit.records import Recording


def render(recordings: Sequence[Recording]) -> str:
    """Every recording has its line in a file of several, also where nothing was said."""
    texts = [[s.text for s in tidy(recording).segments if s.text] for recording in recordings]
    if len(recordings) == 1:
        return "".join(f"{text}\n" for text in texts[0])
    names = [one_line(recording.name) for recording in recordings]
    return "".join(f"{name}\t{' '.join(text)}\n" for name, text in zip(names, texts, strict=True))


FORMAT = Format(name="txt", extension=".txt", stage="asr", render=render)
