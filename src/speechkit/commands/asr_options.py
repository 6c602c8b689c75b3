"""The options that only speech recognition has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from speechkit.commands.options import Option, one_of
from speechkit.errors import UsageError

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout

DECODING = "Decoding (the Whispers; --language, --compute-type and --timestamps nemo too)"
NEMO = "NeMo"
SUBTITLES = "Subtitles (srt and vtt)"
DATALOADERS = ("direct", "lhotse", "manifest")
PLAIN = (
    *("language", "beam_size", "initial_prompt", "hotwords", "compute_type"),
    *("timestamps", "max_window"),
)


@dataclass(frozen=True, slots=True)
class DecodingFlags:
    """How an engine decodes; None leaves it to the engine."""

    language: Annotated[
        str | None,
        Option(
            metavar="CODE[,CODE...]|each",
            help="Such as en; with several the likeliest of them is taken, with each it is "
            "detected again in every window; default: detected once in each utterance.",
            rich_help_panel=DECODING,
        ),
    ] = None
    task: Annotated[
        str | None,
        Option(
            metavar="TASK",
            help="transcribe (the default) or translate (into English).",
            rich_help_panel=DECODING,
        ),
    ] = None
    beam_size: Annotated[
        int | None,
        Option(
            min=1,
            metavar="N",
            help="Hypotheses kept while searching (1).",
            rich_help_panel=DECODING,
        ),
    ] = None
    temperature: Annotated[
        str | None,
        Option(
            metavar="T,T...",
            help="Tried in turn until a window raises no doubt; 0 is the likeliest text "
            "(0,0.2,0.4,0.6,0.8,1).",
            rich_help_panel=DECODING,
        ),
    ] = None
    initial_prompt: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            help="Text that could stand before: names, spelling, style.",
            rich_help_panel=DECODING,
        ),
    ] = None
    hotwords: Annotated[
        str | None,
        Option(metavar="TEXT", help="Words to expect.", rich_help_panel=DECODING),
    ] = None
    compute_type: Annotated[
        str | None,
        Option(
            metavar="TYPE",
            help="float32, float16 or bfloat16; for faster-whisper int8 and its mixtures too; "
            "chosen by device.",
            rich_help_panel=DECODING,
        ),
    ] = None
    timestamps: Annotated[
        bool | None,
        Option(
            "--timestamps/--no-timestamps",
            help="Whether a Whisper marks its segments itself (no; times come from its attention "
            "in any case), and whether NeMo tells times (yes).",
            rich_help_panel=DECODING,
        ),
    ] = None
    max_window: Annotated[
        float | None,
        Option(
            min=1.0,
            metavar="SECONDS",
            help="Longest audio the model is given at once; longer is cut at pauses (30).",
            rich_help_panel=NEMO,
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """The engine's options that were set. Raises `UsageError`."""
        values = {name: getattr(self, name) for name in PLAIN if getattr(self, name) is not None}
        if self.task is not None:
            values["task"] = one_of(self.task, ("transcribe", "translate"), "--task")
        if self.temperature is not None:
            values["temperature"] = _temperatures(self.temperature)
        return values


def _temperatures(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(one) for one in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 <= value <= 2 for value in values):
        raise UsageError(f"--temperature {text}: numbers from 0 to 2, with commas between them")
    return values


@dataclass(frozen=True, slots=True)
class NemoFlags:
    """How NeMo is run; changes no result."""

    dataloader: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="How audio reaches the model: direct, or by way of files lhotse or manifest "
            "(direct).",
            rich_help_panel=NEMO,
        ),
    ] = None
    no_cuda_graphs: Annotated[
        bool,
        Option(
            "--no-cuda-graphs",
            help="Decode transducers without CUDA graphs.",
            rich_help_panel=NEMO,
        ),
    ] = False

    def given(self) -> dict[str, Any]:
        """The engine's own options that were set. Raises `UsageError`."""
        values: dict[str, Any] = {}
        if self.dataloader is not None:
            values["dataloader"] = one_of(self.dataloader, DATALOADERS, "--dataloader")
        if self.no_cuda_graphs:
            values["cuda_graphs"] = False
        return values


@dataclass(frozen=True, slots=True)
class SubtitleFlags:
    """How subtitles are set."""

    max_line_width: Annotated[
        int,
        Option(
            min=0,
            metavar="COLUMNS",
            help="Longest line of subtitles; 0: any. A wide character (Chinese, Japanese, Korean) "
            "takes two columns; a word that is longer stays whole.",
            rich_help_panel=SUBTITLES,
        ),
    ] = 42
    max_lines: Annotated[
        int,
        Option(min=0, metavar="N", help="Lines of a subtitle; 0: any.", rich_help_panel=SUBTITLES),
    ] = 2
    max_cue: Annotated[
        float,
        Option(
            min=0.0,
            metavar="SECONDS",
            help="Longest time that a subtitle stands; 0: any. All three 0: a subtitle a segment, "
            "on one line.",
            rich_help_panel=SUBTITLES,
        ),
    ] = 7.0

    def layout(self) -> Layout:
        from speechkit.formats.cues import Layout

        return Layout(self.max_line_width, self.max_lines, self.max_cue)
