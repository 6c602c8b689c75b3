"""The options of live transcription: its source, its steps and its text formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speechkit.commands.options import (
    EngineOption,
    Option,
    OutputOption,
    RunFlags,
    in_section,
    require_choice,
)
from speechkit.engines import registry
from speechkit.errors import UsageError
from speechkit.serving.stream.live_formats import FORMATS
from speechkit.serving.stream.options import POLICIES, StreamOptions

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout
    from speechkit.serving.sources.source import Source, SourceOptions
    from speechkit.serving.stream.clock import Clock
    from speechkit.serving.stream.resumable import StreamOutput

TEXT = "text"
SAMPLE_FORMATS = ("s16", "f32")
PACES = ("1", "max")
DEFAULTS = StreamOptions()
SourceOption = in_section("Source")
StreamOption = in_section("Steps and finals")
FormatOption = in_section("Text formats")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFlags:
    """The audio of a stream."""

    rate: Annotated[
        int | None,
        SourceOption(metavar="HZ", help="Sample rate of raw PCM on stdin. Without it, a WAV."),
    ] = None
    channels: Annotated[
        int | None,
        SourceOption(metavar="N", help="Channels of raw PCM on stdin, or of the microphone."),
    ] = None
    sample_format: Annotated[
        str | None,
        SourceOption(choices=SAMPLE_FORMATS, help="Samples of raw PCM on stdin. Default: s16."),
    ] = None
    pace: Annotated[
        str | None,
        SourceOption(
            choices=PACES,
            help="1: a file is heard as it would be played. max: as fast as it is computed, in "
            "steps of equal length, so that the same audio gives the same events. Default: max for "
            "a file, otherwise 1.",
        ),
    ] = None

    def options(self) -> SourceOptions:
        from speechkit.serving.sources.source import SourceOptions

        if self.sample_format is not None:
            require_choice(self.sample_format, SAMPLE_FORMATS, "--sample-format")
        if self.pace is not None:
            require_choice(self.pace, PACES, "--pace")
        return SourceOptions(
            rate=self.rate,
            channels=self.channels,
            sample_format=self.sample_format,  # type: ignore[arg-type]
            pace=self.pace or "max",  # type: ignore[arg-type]
        )

    def clock(self, source: Source) -> Clock:
        """The clock of a source: that of the audio where it needn't wait for anybody."""
        from speechkit.serving.sources.source import RepeatableSource
        from speechkit.serving.stream.clock import VirtualClock, WallClock

        by_default = "max" if isinstance(source, RepeatableSource) else "1"
        return VirtualClock() if (self.pace or by_default) == "max" else WallClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlags:
    """How a stream is heard, and which of its words are final."""

    vad: Annotated[
        str,
        EngineOption(
            choices=registry.names("vad"),
            help="VAD engine: what it takes for silence is not decoded.",
        ),
    ] = "silero"
    step: Annotated[
        float,
        StreamOption(
            metavar="SECONDS",
            help="Audio from one hypothesis to the next, at least; more if computing falls behind.",
        ),
    ] = DEFAULTS.step
    policy: Annotated[
        str,
        StreamOption(
            choices=POLICIES,
            help="Words that are final while somebody speaks. attention: those that end --margin "
            "before the end of the audio. agreement: those of them on which two hypotheses agree.",
        ),
    ] = DEFAULTS.policy
    margin: Annotated[
        float, StreamOption(metavar="SECONDS", help="Audio behind a word that is final.")
    ] = DEFAULTS.margin
    pause: Annotated[
        float, StreamOption(metavar="SECONDS", help="Silence after which all words are final.")
    ] = DEFAULTS.pause

    def options(self) -> StreamOptions:
        """Raises `UsageError` for values out of range."""
        from speechkit.stages.vad.segmentation import default_segmentation

        require_choice(self.vad, registry.names("vad"), "--vad")
        return StreamOptions(
            step=self.step,
            policy=self.policy,
            margin=self.margin,
            pause=self.pause,
            segmentation=default_segmentation(self.vad),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOutputFlags:
    """What is written while the stream is heard."""

    output: Annotated[
        str | None,
        OutputOption(
            "--output",
            "-o",
            metavar="FILE|-",
            help="Keep the events that are final, from which a stream that was cut goes on. "
            "Default: events on stdout.",
        ),
    ] = None
    format: Annotated[
        list[str] | None,
        Option(
            "--format",
            "-f",
            section="Text formats",
            choices=FORMATS,
            help="Write this format as it becomes final (repeatable): to --output-dir or, a single "
            "one, to stdout. Default: jsonl on stdout, unless -o is given; text on a terminal.",
        ),
    ] = None
    output_dir: Annotated[
        Path | None,
        FormatOption(
            metavar="DIR",
            help="Folder for the formats, a file each. Also for the events, unless -o is given.",
        ),
    ] = None

    def names(self) -> tuple[str, ...]:
        """The formats, each once. Raises `UsageError` for several on stdout."""
        names = [require_choice(name, FORMATS, "--format") for name in self.format or []]
        if len({*names, *self._events()}) > 1 and self.output_dir is None:
            raise UsageError("only one format fits on stdout; give --output-dir")
        return tuple(dict.fromkeys(names))

    def on_stdout(self, *, is_terminal: bool) -> tuple[str, ...]:
        """The formats that stdout gets; a terminal gets `TEXT` unless one is named. Raises
        `UsageError` for several."""
        names = self.names()
        if self.output == "-":
            return self._events()
        if is_terminal and not names:
            return (TEXT,)
        if self.output_dir is not None:
            return ()
        return names or (() if self.output else ("jsonl",))

    def _events(self) -> tuple[str, ...]:
        return ("jsonl",) if self.output == "-" else ()

    def kept(self, source: str, run: RunFlags, layout: Layout) -> StreamOutput | None:
        """The file of the events, and those beside it. Raises `UsageError`."""
        from speechkit.runtime.job import require_manifest_name
        from speechkit.runtime.run_files import require_apart
        from speechkit.serving.stream.live_files import LiveFiles
        from speechkit.serving.stream.resumable import StreamOutput

        path = None if self.output in (None, "-") else self.output
        if path is not None:
            require_manifest_name(path)
        elif self.output_dir is not None:
            path = str(self.output_dir / "stream.jsonl")
        elif run.restart:
            raise UsageError("--restart needs an output file (-o)")
        require_apart([source], path, [("--summary", run.summary)])
        if path is None:
            return None
        is_file = Path(source).is_file()
        files = (
            None
            if self.output_dir is None
            else LiveFiles(
                folder=self.output_dir,
                name=Path(source).stem if is_file else "stream",
                formats=tuple(name for name in self.names() if name != "jsonl"),
                layout=layout,
                output=Path(path),
                source=Path(source) if is_file else None,
                restart=run.restart,
            )
        )
        return StreamOutput(path=Path(path), restart=run.restart, files=files)
