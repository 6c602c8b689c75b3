"""The options that only speech recognition has; those of its engines are theirs."""

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
            help="Longest line of a subtitle; 0: any. A wide character (Chinese, Japanese, Korean) "
            "takes two columns; a longer word stays whole.",
        ),
    ] = 42
    max_lines: Annotated[
        int, SubtitleOption(min=0, metavar="N", help="Lines of a subtitle; 0: any.")
    ] = 2
    max_cue: Annotated[
        float,
        SubtitleOption(
            min=0.0,
            metavar="SECONDS",
            help="Longest time that a subtitle is shown; 0: any. With all three at 0, each "
            "segment is one subtitle on one line.",
        ),
    ] = 7.0

    def layout(self) -> Layout:
        from speechkit.formats.cues import Layout

        return Layout(self.max_line_width, self.max_lines, self.max_cue)
