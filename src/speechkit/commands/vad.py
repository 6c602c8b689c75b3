from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from speechkit.commands.console import say
from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.format_options import FormatFlags, format_flags
from speechkit.commands.options import (
    AudioFlags,
    EngineOption,
    InputsArgument,
    RunFlags,
    in_section,
    require_choice,
    takes,
)
from speechkit.engines import registry
from speechkit.errors import EngineMissing

if TYPE_CHECKING:
    from speechkit.stages.vad.segmentation import SegmentationOptions

ENGINES = (*registry.names("vad"), "auto")
EMITS = ("recordings", "segments")
SegmentOption = in_section("Speech segments")
ResultOption = in_section("Results")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFlags:
    """The options of segmentation; None for the engine's default."""

    threshold: Annotated[
        float | None,
        SegmentOption(metavar="P", help="Speech probability at which speech begins."),
    ] = None
    hysteresis: Annotated[
        float | None,
        SegmentOption(metavar="P", help="Speech ends below the threshold minus this."),
    ] = None
    min_speech: Annotated[
        float | None, SegmentOption(metavar="SECONDS", help="Drop speech shorter than this.")
    ] = None
    min_silence: Annotated[
        float | None, SegmentOption(metavar="SECONDS", help="Close pauses shorter than this.")
    ] = None
    pad: Annotated[
        float | None,
        SegmentOption(metavar="SECONDS", help="Time added before and after speech."),
    ] = None
    max_segment: Annotated[
        float | None,
        SegmentOption(
            metavar="SECONDS", help="Cut segments longer than this at their quietest frame."
        ),
    ] = None

    def segmentation(self, engine: str) -> SegmentationOptions:
        """Return the options, with the engine's defaults for None. Raises `UsageError`."""
        from dataclasses import asdict, replace

        from speechkit.stages.vad.segmentation import default_segmentation

        changed = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(default_segmentation(engine), **changed)


@takes(
    audio=AudioFlags,
    run=RunFlags,
    formats=format_flags("vad"),
    segments=SegmentFlags,
    engine_options=EngineGroup("vad"),
)
def vad(
    inputs: InputsArgument,
    engine: Annotated[
        str,
        EngineOption(
            choices=ENGINES,
            help="VAD engine. auto: ten if its library loads, otherwise silero. The licence of TEN "
            "VAD forbids competing with its vendor.",
        ),
    ] = registry.default("vad"),
    emit: Annotated[
        str,
        ResultOption(
            choices=EMITS, help="Output a line per recording, or a line per speech segment."
        ),
    ] = "recordings",
    probabilities: Annotated[
        bool, ResultOption("--probabilities", help="Add the speech probability of each frame.")
    ] = False,
    *,
    audio: AudioFlags,
    segments: SegmentFlags,
    engine_options: Mapping[str, Any],
    formats: FormatFlags,
    run: RunFlags,
) -> int:
    """Find speech in recordings.

    Example: speechkit vad talks/ -o vad.jsonl
    """
    from speechkit.commands.run_stage import run_stage
    from speechkit.stages.vad.stage import VadOptions, choose_engine, vad_stage

    require_choice(emit, EMITS, "--emit")
    if engine not in ENGINES and (reason := registry.problem(engine)):
        raise EngineMissing(reason)
    if require_choice(engine, ENGINES, "--engine") == "auto":
        engine, reason = choose_engine()
        if reason:
            say(f"vad: using silero, because ten can't run: {reason}")
    options = VadOptions(
        engine=engine,
        segmentation=segments.segmentation(engine),
        emit=emit,
        probabilities=probabilities,
        channel=audio.channel,
        track=audio.track,
        engine_options=engine_options,
    )
    return run_stage(vad_stage(options), inputs, run, formats)
