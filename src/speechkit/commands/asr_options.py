"""The options of speech recognition, except for those that its engines declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from speechkit.commands.options import in_section

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout

SubtitleOption = in_section("Subtitles (srt and vtt)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleFlags:
    """The layout of subtitles."""

    max_line_width: Annotated[
        int,
        SubtitleOption(
            min=0,
            metavar="COLUMNS",
            help="Columns of a subtitle line. Chinese, Japanese and Korean characters take two; a "
            "longer word stays whole. 0: no limit.",
        ),
    ] = 42
    max_lines: Annotated[
        int, SubtitleOption(min=0, metavar="N", help="Lines of a subtitle. 0: no limit.")
    ] = 2
    max_cue: Annotated[
        float,
        SubtitleOption(
            min=0.0,
            metavar="SECONDS",
            help="Longest time a subtitle is shown. 0: no limit. With all three limits at 0, each "
            "segment is one subtitle on one line.",
        ),
    ] = 7.0

    def layout(self) -> Layout:
        from speechkit.formats.cues import Layout

        return Layout(self.max_line_width, self.max_lines, self.max_cue)
