from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
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
from speechkit.commands.validate_options import DataSetFlags, TextFlags
from speechkit.commands.validate_thresholds import ThresholdGroup
from speechkit.engines import registry

ENGINES = registry.names("vad")
VadOption = Annotated[
    str, EngineOption(choices=ENGINES, help="VAD engine that tells speech from noise.")
]
MosOption = Annotated[
    bool,
    EngineOption(
        "--mos",
        help="Rate the quality as listeners would, by DNSMOS. It takes as long as the audio.",
    ),
]


@takes(
    audio=AudioFlags,
    run=RunFlags,
    data_set=DataSetFlags,
    texts=TextFlags,
    thresholds=ThresholdGroup(),
    engine_options=EngineGroup("vad"),
)
def validate(
    inputs: InputsArgument,
    engine: VadOption = "silero",
    mos: MosOption = False,
    *,
    audio: AudioFlags,
    data_set: DataSetFlags,
    texts: TextFlags,
    thresholds: Mapping[str, float],
    engine_options: Mapping[str, Any],
    run: RunFlags,
) -> int:
    """Measure the quality of recordings, and find what is wrong with them.

    Example: speechkit validate corpus.jsonl -o validated.jsonl
    """
    from speechkit.commands.console import conclude
    from speechkit.commands.run_stage import summarised
    from speechkit.commands.validate_transcripts import transcribed
    from speechkit.reports.validate import ValidateReport
    from speechkit.stages.validate.stage import ValidateOptions, validate_stage

    options = ValidateOptions(
        engine=require_choice(engine, ENGINES, "--engine"),
        thresholds=thresholds,
        channel=audio.channel,
        track=audio.track,
        mos=mos,
        tokenizer=texts.tokenizer,
        require_text=texts.require_text,
        engine_options=engine_options,
    )
    stage = validate_stage(options)
    baseline = data_set.earlier()
    split = data_set.split(run, inputs)
    data_set.check_report(run, inputs)
    with split.claimed() if split else nullcontext():
        if texts.asr:
            stage, inputs = transcribed(stage, inputs, run, audio)
        summary = summarised(stage, inputs, run)
        if split:
            split.write()
    data_set.write_report(run, options)
    report = ValidateReport(summary)
    if baseline:
        compared = baseline.compared(summary.to_json(), data_set.baseline_tolerance)
        report = replace(report, comparison=compared)
    return conclude(report, run.summary)
