"""The transcription before a validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from speechkit.commands.console import say
from speechkit.commands.options import AudioFlags, RunFlags
from speechkit.commands.run_stage import summarised
from speechkit.commands.validate_options import require_output

if TYPE_CHECKING:
    from speechkit.runtime.stage import Stage


def transcribed(
    stage: Stage, sources: Sequence[str], run: RunFlags, audio: AudioFlags
) -> tuple[Stage, list[str]]:
    """Transcribe the sources. Return the stage and the sources of a validation of the result."""
    from speechkit.io.manifest import manifest_stem
    from speechkit.reports.run import RunReport
    from speechkit.stages.asr.stage import AsrOptions, asr_stage
    from speechkit.stages.validate.splits import Transcribed

    output = Path(require_output(run, "--asr"))
    transcripts = str(output.with_name(f"{manifest_stem(output.name)}.asr.jsonl"))
    recognition = asr_stage(AsrOptions(channel=audio.channel, track=audio.track))
    flags = replace(run, output=transcripts, summary=None, metrics=None, prometheus=None)
    say(RunReport(summarised(replace(recognition, inputs=stage.inputs), sources, flags)).view())
    return replace(stage, inputs=Transcribed), [transcripts]
