from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechkit.commands.asr_options import RecognitionFlags, SubtitleFlags
from speechkit.commands.console import conclude, data_stream
from speechkit.commands.device_options import DeviceFlags
from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.options import RunFlags, takes, without
from speechkit.commands.stream_options import LiveFormatFlags, SourceFlags, StepFlags

if TYPE_CHECKING:
    from speechkit.formats.cues import Layout
    from speechkit.serving.sources.source import Source
    from speechkit.serving.stream.hearing import Listener
    from speechkit.serving.stream.resumable import StreamOutput
    from speechkit.serving.stream.run import Viewer

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="An audio file, - for stdin, or microphone (microphone:NAME for another one).",
        show_default=False,
    ),
]
OF_UTTERANCES = ("workers", "limit", "retry_failed", "time_limit", "metrics", "prometheus")


@takes(
    recognition=without(RecognitionFlags, "words", "chars"),
    source_flags=SourceFlags,
    steps=StepFlags,
    run=without(RunFlags, *OF_UTTERANCES),
    formats=LiveFormatFlags,
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
    formats: LiveFormatFlags,
    subtitles: SubtitleFlags,
    run: RunFlags,
) -> int:
    """Transcribe speech while it is spoken.

    Writes events as JSON lines: partial (may still change), final (never changes), gap (no words
    here) and end. Finals and gaps cover every second of the audio. With -o, a stream that is cut
    goes on where it was.

    Example: ffmpeg -i talk.mp4 -f s16le -ac 1 -ar 16000 - | speechkit stream - --rate 16000
    """
