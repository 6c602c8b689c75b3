from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.options import (
    AudioFlags,
    EngineOption,
    InputsArgument,
    RunFlags,
    require_choice,
    takes,
)
from speechkit.commands.validate_thresholds import ThresholdGroup
from speechkit.engines import registry

ENGINES = registry.names("vad")


@takes(
    audio=AudioFlags,
    run=RunFlags,
    thresholds=ThresholdGroup(),
    engine_options=EngineGroup("vad"),
)
def validate(
    inputs: InputsArgument,
    engine: Annotated[
        str, EngineOption(choices=ENGINES, help="VAD engine that tells speech from noise.")
    ] = "silero",
    *,
    audio: AudioFlags,
    thresholds: Mapping[str, float],
    engine_options: Mapping[str, Any],
    run: RunFlags,
) -> int:
    """Measure the quality of recordings, and find what is wrong with them.

    Example: speechkit validate corpus.jsonl -o validated.jsonl
    """
    from speechkit.commands.run_stage import run_stage
    from speechkit.stages.validate.stage import ValidateOptions, validate_stage

    options = ValidateOptions(
        engine=require_choice(engine, ENGINES, "--engine"),
        thresholds=thresholds,
        channel=audio.channel,
        track=audio.track,
        engine_options=engine_options,
    )
    return run_stage(validate_stage(options), inputs, run)
