from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechkit.commands.asr_options import RecognitionFlags, SubtitleFlags
from speechkit.commands.console import conclude, data_stream, say
from speechkit.commands.device_options import DeviceFlags
from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.options import RunFlags, takes, without
from speechkit.commands.stream_options import TEXT, SourceFlags, StepFlags, StreamOutputFlags
from speechkit.errors import SourceFailed

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout
    from speechkit.serving.stream.run import Viewer
    from speechkit.stages.asr.stage import AsrOptions

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="An audio file, - for stdin, or microphone (microphone:NAME for another one).",
        show_default=False,
    ),
]
OF_UTTERANCES = (
    "output",
    "workers",
    "limit",
    "retry_failed",
    "time_limit",
    "metrics",
    "prometheus",
)


@takes(
    recognition=without(RecognitionFlags, "words", "chars"),
    source_flags=SourceFlags,
    steps=StepFlags,
    run=without(RunFlags, *OF_UTTERANCES),
    outputs=StreamOutputFlags,
    subtitles=SubtitleFlags,
    engine_options=EngineGroup("asr"),
    device=without(DeviceFlags, "devices", "batch_size"),
)
def stream(
    source: SourceArgument,
    *,
    recognition: RecognitionFlags,
    source_flags: SourceFlags,
    steps: StepFlags,
    engine_options: Mapping[str, Any],
    device: DeviceFlags,
    outputs: StreamOutputFlags,
    subtitles: SubtitleFlags,
    run: RunFlags,
) -> int:
    """Transcribe speech while it is spoken.

    Writes events as JSON lines: partial (may still change), final (never changes), gap (no words
    here) and end. Finals and gaps cover every second of the audio. With -o, a stream that is cut
    goes on where it was.

    Example: ffmpeg -i talk.mp4 -f s16le -ac 1 -ar 16000 - | speechkit stream - --rate 16000
    """
    from speechkit.io import atomic
    from speechkit.reports.stream import StreamReport
    from speechkit.runtime import logs
    from speechkit.serving.sources.opening import open_source
    from speechkit.serving.stream.engines import find_engines
    from speechkit.serving.stream.hearing import Listener
    from speechkit.serving.stream.run import run as hear

    if run.summary:
        atomic.refuse_special(run.summary)
    logs.configure(replace(logs.settings(), places={"stage": "stream"}))
    on_stdout = outputs.on_stdout(is_terminal=sys.stdout.isatty())
    layout, options = subtitles.layout(), steps.options()
    output = outputs.kept(source, run, layout)
    engines = find_engines(_asr(recognition, engine_options), device.hardware(), steps.vad)
    audio = open_source(source, source_flags.options())
    listener = Listener(engines=engines, options=options, clock=source_flags.clock(audio))
    with _shown(on_stdout, layout, audio.seconds) as (viewers, say_so):
        summary = hear(audio, listener, output, viewers, say=say_so, signals=True)
    code = conclude(StreamReport(summary), run.summary)
    if summary.error:
        raise SourceFailed(summary.error)
    return code


def _asr(recognition: RecognitionFlags, engine_options: Mapping[str, Any]) -> AsrOptions:
    from speechkit.stages.asr.stage import AsrOptions

    return AsrOptions(
        engine=recognition.engine,
        model=recognition.model,
        words=True,
        engine_options=engine_options,
    )


@contextmanager
def _shown(
    on_stdout: Sequence[str], layout: Layout, seconds: float | None
) -> Iterator[tuple[list[Viewer], Callable[[str], object]]]:
    """What shows the events on stdout, and what says how it goes.

    ``seconds``: of the audio, if known.
    """
    from speechkit.reports.stream import StreamProgress
    from speechkit.serving.stream.live_formats import FormatView, live_format

    with data_stream() as data:
        if TEXT in on_stdout:
            from speechkit.reports.live_line import LiveLine

            with LiveLine(data) as line:
                yield [line], line.say
        else:
            views = [FormatView(live_format(name, layout), data) for name in on_stdout]
            yield [*views, StreamProgress(seconds)], _say


def _say(text: str) -> None:
    say(f"stream: {text}", "stream")
