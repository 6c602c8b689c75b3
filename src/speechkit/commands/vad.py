from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from speechkit.commands.console import say
from speechkit.commands.engine_options import EngineGroup
from speechkit.commands.options import (
    AudioFlags,
    EngineOption,
    FormatFlags,
    InputsArgument,
    RunFlags,
    format_option,
    in_section,
    one_of,
    takes,
)
from speechkit.engines import registry
from speechkit.formats import formats_of

if TYPE_CHECKING:
    from speechkit.stages.vad.segmentation import SegmentationOptions

ENGINES = (*registry.names("vad"), "auto")
EMITS = ("recordings", "segments")
FormatOption = Annotated[list[str] | None, format_option(formats_of("vad"))]
SegmentOption = in_section("Speech segments")
ResultOption = in_section("Results")


@dataclass(frozen=True, slots=True, kw_only=True)
class VadFormatFlags(FormatFlags):
    format: FormatOption = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFlags:
    """How probabilities become segments; None: as is best for the engine."""

    threshold: Annotated[
        float | None,
        SegmentOption(metavar="P", help="Probability from which a frame is speech."),
    ] = None
    hysteresis: Annotated[
        float | None,
        SegmentOption(metavar="P", help="Speech lasts until the threshold minus this."),
    ] = None
    min_speech: Annotated[
        float | None, SegmentOption(metavar="SECONDS", help="Shorter speech is dropped.")
    ] = None
    min_silence: Annotated[
        float | None, SegmentOption(metavar="SECONDS", help="Shorter pauses are closed.")
    ] = None
    pad: Annotated[
        float | None, SegmentOption(metavar="SECONDS", help="Added before and after speech.")
    ] = None
    max_segment: Annotated[
        float | None,
        SegmentOption(metavar="SECONDS", help="Longer segments are cut at the quietest frame."),
    ] = None

    def segmentation(self, engine: str) -> SegmentationOptions:
        """With the engine's own values for those not set. Raises `UsageError`."""
        from dataclasses import asdict, replace

        from speechkit.stages.vad.segmentation import defaults

        changed = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(defaults(engine), **changed)


@takes(
    audio=AudioFlags,
    run=RunFlags,
    formats=VadFormatFlags,
    segments=SegmentFlags,
    engine_options=EngineGroup("vad"),
)
def vad(
    inputs: InputsArgument,
    engine: Annotated[
        str,
        EngineOption(
            choices=ENGINES,
            help="auto: ten where its library loads, else silero. TEN VAD's licence forbids "
            "competing with its vendor.",
        ),
    ] = registry.default("vad"),
    emit: Annotated[
        str,
        ResultOption(
            choices=EMITS, help="One line for each recording, or one for each speech segment."
        ),
    ] = "recordings",
    probabilities: Annotated[
        bool, ResultOption("--probabilities", help="Add the frames' speech probabilities.")
    ] = False,
    *,
    audio: AudioFlags,
    segments: SegmentFlags,
    engine_options: Mapping[str, Any],
    formats: VadFormatFlags,
    run: RunFlags,
) -> int:
    """Find the speech in recordings.

    Example: speechkit vad talks/ -o vad.jsonl
    """
    from speechkit.commands.run_stage import run_stage
    from speechkit.stages.vad.stage import VadOptions, choose_engine, vad_stage

    one_of(emit, EMITS, "--emit")
    if one_of(engine, ENGINES, "--engine") == "auto":
        engine, reason = choose_engine()
        if reason:
            say(f"vad: taking silero, since ten can't run: {reason}")
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
