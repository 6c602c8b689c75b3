from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speechkit.commands.asr_options import RecognitionFlags, SubtitleFlags
from speechkit.commands.device_options import DeviceFlags
from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.format_options import FormatFlags, format_flags
from speechkit.commands.options import (
    AudioFlags,
    InputsArgument,
    RunFlags,
    takes,
)
from speechkit.formats import need_words


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
