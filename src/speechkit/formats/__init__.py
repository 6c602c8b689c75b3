"""Records to text: one module a format, with ``EXTENSION`` and ``render`` in it or its class.

``render`` takes one recording and gives the ordinary file of its format, or several and gives one
file for all; each module says how it tells them apart. Times that lie outside a recording are
moved to its edge, and text keeps its words but not its line breaks and control characters.
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
#: Formats of ASR that are made, or better made, of words with times.
OF_WORDS = frozenset({"srt", "vtt", "ctm", "textgrid"})
S2S_FORMATS: dict[str, Format] = {"units": units}


def asr_formats(layout: Layout) -> dict[str, Format]:
    """``layout``: of the subtitles."""
    return {
        "txt": txt,
        "srt": Srt(layout),
        "vtt": Vtt(layout),
        "tsv": tsv,
        "ctm": ctm,
        "textgrid": textgrid,
    }


ASR_FORMATS = asr_formats(LAYOUT)
