"""The options of speech recognition, except for those that its engines declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from speechkit.commands.completion import model_names
from speechkit.commands.options import EngineOption, in_section
from speechkit.engines import registry

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout

TranscriptOption = in_section("Transcript")
SubtitleOption = in_section("Subtitles (srt and vtt)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionFlags:
    """The engine and its model, and the contents of a transcript."""

    engine: Annotated[
        str,
        EngineOption(
            choices=registry.names("asr"),
            help="ASR engine: faster-whisper (fast on a CPU), whisper (any Whisper checkpoint of "
            "transformers), nemo (any ASR model of NeMo) or pocketsphinx (small, US English, "
            "model built in).",
        ),
    ] = registry.default("asr")
    model: Annotated[
        str | None,
        EngineOption(
            metavar="PATH|ID",
            autocompletion=model_names,
            help="Model: a folder, a .nemo file or, except for pocketsphinx, a name (see speechkit "
            "models list) or an id on the Hugging Face hub. Default: base for Whisper, otherwise "
            "the engine's own.",
        ),
    ] = None
    words: Annotated[
        bool,
        TranscriptOption("--words", help="Add word times and, if known, confidences."),
    ] = False
    chars: Annotated[
        bool,
        TranscriptOption("--chars", help="Add the times of characters or tokens."),
    ] = False


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
