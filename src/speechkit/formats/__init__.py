"""Export formats: one module each, with ``EXTENSION`` and ``render`` in it or in its class.

``render`` turns one recording into an ordinary file of the format, or several into a single file;
each module says how it separates them. Times outside a recording are moved to its edge; text keeps
its words, but not its line breaks and control characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from speechkit.formats import audacity, csv, ctm, rttm, textgrid, tsv, txt, units
from speechkit.formats.cues import LAYOUT, Layout
from speechkit.formats.srt import Srt
from speechkit.formats.vtt import Vtt
from speechkit.records import Recording


class Format(Protocol):
    EXTENSION: str  # of its files, with the dot

    def render(self, recordings: Sequence[Recording]) -> str:
        """The text of the file, ready to be written as UTF-8."""
        ...


VAD_FORMATS: dict[str, Format] = {"rttm": rttm, "audacity": audacity, "csv": csv}
#: Formats of ASR that need, or profit from, words with times.
OF_WORDS = frozenset({"srt", "vtt", "ctm", "textgrid"})
S2S_FORMATS: dict[str, Format] = {"units": units}


def asr_formats(layout: Layout) -> dict[str, Format]:
    """The formats of ASR, with subtitles in the given layout."""
    return {
        "txt": txt,
        "srt": Srt(layout),
        "vtt": Vtt(layout),
        "tsv": tsv,
        "ctm": ctm,
        "textgrid": textgrid,
    }


ASR_FORMATS = asr_formats(LAYOUT)
