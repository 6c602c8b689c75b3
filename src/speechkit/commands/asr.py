from __future__ import annotations

from typing import Annotated

from speechkit.commands.asr_options import DecodingFlags, NemoFlags, SubtitleFlags
from speechkit.commands.options import (
    ChannelOption,
    DeviceFlags,
    FormatFlags,
    InputsArgument,
    Option,
    RunFlags,
    TrackOption,
    takes,
)


@takes(
    decoding=DecodingFlags,
    nemo=NemoFlags,
    device=DeviceFlags,
    formats=FormatFlags,
    subtitles=SubtitleFlags,
    run=RunFlags,
)
def asr(
    inputs: InputsArgument,
    engine: Annotated[
        str,
        Option(
            help="faster-whisper (on CPU the fast one), whisper (any Whisper checkpoint, by "
            "transformers), nemo (any ASR model of NeMo) or pocketsphinx (US English, small, its "
            "model built in)."
        ),
    ] = "faster-whisper",
    model: Annotated[
        str | None,
        Option(
            metavar="PATH|ID",
            help="A model's folder, or its .nemo file; except for pocketsphinx also a short name "
            "(see speechkit models list) or one on the Hugging Face hub. Default: base for the "
            "Whispers, else the engine's own.",
        ),
    ] = None,
    words: Annotated[
        bool, Option("--words", help="Add word times and confidences to the segments.")
    ] = False,
    chars: Annotated[
        bool, Option("--chars", help="Add the times of characters or tokens to the segments.")
    ] = False,
    channel: ChannelOption = None,
    track: TrackOption = None,
    *,
    decoding: DecodingFlags,
    nemo: NemoFlags,
    device: DeviceFlags,
    formats: FormatFlags,
    subtitles: SubtitleFlags,
    run: RunFlags,
) -> int:
    """Transcribe speech.

    Uses the segments that vad has found where the input has them; else it transcribes all of a
    recording and finds its own way through long ones.

    Example: speechkit vad talks/ | speechkit asr - -o asr.jsonl
    """
    from speechkit.commands.stage import run_stage
    from speechkit.formats import OF_WORDS, asr_formats
    from speechkit.stages.asr.stage import AsrOptions, asr_stage

    words = words or not OF_WORDS.isdisjoint(formats.format or ())
    options = AsrOptions(engine, model, words, chars, channel, track, decoding.given())
    hardware = device.hardware(nemo.given())
    available = asr_formats(subtitles.layout())
    return run_stage(asr_stage(options, hardware), inputs, run, formats, available)
