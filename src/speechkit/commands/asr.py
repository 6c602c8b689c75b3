from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from speechkit.commands.asr_options import SubtitleFlags
from speechkit.commands.completion import model_names
from speechkit.commands.device_options import DeviceFlags
from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.format_options import FormatFlags, format_flags
from speechkit.commands.options import (
    AudioFlags,
    EngineOption,
    InputsArgument,
    RunFlags,
    in_section,
    takes,
)
from speechkit.engines import registry
from speechkit.formats import need_words

TranscriptOption = in_section("Transcript")


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


@takes(
    recognition=RecognitionFlags,
    audio=AudioFlags,
    run=RunFlags,
    formats=format_flags("asr"),
    subtitles=SubtitleFlags,
    engine_options=EngineGroup("asr"),
    device=DeviceFlags,
)
def asr(
    inputs: InputsArgument,
    *,
    recognition: RecognitionFlags,
    audio: AudioFlags,
    engine_options: Mapping[str, Any],
    device: DeviceFlags,
    formats: FormatFlags,
    subtitles: SubtitleFlags,
    run: RunFlags,
) -> int:
    """Transcribe speech.

    Decodes only the segments that vad found, if the input has them; otherwise the whole recording,
    of any length.

    Example: speechkit vad talks/ | speechkit asr - -o asr.jsonl
    """
    from speechkit.commands.run_stage import run_stage
    from speechkit.stages.asr.stage import AsrOptions, asr_stage

    options = AsrOptions(
        engine=recognition.engine,
        model=recognition.model,
        words=recognition.words or need_words(formats.format or ()),
        chars=recognition.chars,
        channel=audio.channel,
        track=audio.track,
        engine_options=engine_options,
    )
    return run_stage(
        asr_stage(options, device.hardware()), inputs, run, formats, subtitles.layout()
    )
