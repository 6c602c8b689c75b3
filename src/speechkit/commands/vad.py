from __future__ import annotations

from typing import Annotated

from speechkit.commands.console import say
from speechkit.commands.options import (
    ChannelOption,
    FormatFlags,
    InputsArgument,
    Option,
    RunFlags,
    TrackOption,
    one_of,
    takes,
)

ENGINES = ("ten", "silero", "auto")


@takes(formats=FormatFlags, run=RunFlags)
def vad(
    inputs: InputsArgument,
    engine: Annotated[
        str,
        Option(
            help="ten, silero, or auto: ten where its library loads, else silero. TEN VAD's "
            "licence forbids competing with its vendor."
        ),
    ] = "ten",
    threshold: Annotated[
        float | None, Option(help="Probability from which a frame is speech.")
    ] = None,
    hysteresis: Annotated[
        float | None, Option(help="Speech lasts until below threshold minus this.")
    ] = None,
    min_speech: Annotated[float | None, Option(help="Shorter speech is dropped (seconds).")] = None,
    min_silence: Annotated[
        float | None, Option(help="Shorter pauses are closed (seconds).")
    ] = None,
    pad: Annotated[float | None, Option(help="Added before and after speech (seconds).")] = None,
    max_segment: Annotated[
        float | None, Option(help="Longer segments are cut at the quietest frame (seconds).")
    ] = None,
    emit: Annotated[
        str, Option(help="recordings: a line each; segments: a line for each segment.")
    ] = "recordings",
    probabilities: Annotated[
        bool, Option("--probabilities", help="Add the frames' speech probabilities.")
    ] = False,
    channel: ChannelOption = None,
    track: TrackOption = None,
    *,
    formats: FormatFlags,
    run: RunFlags,
) -> int:
    """Find the speech in recordings.

    Example: speechkit vad talks/ -o vad.jsonl
    """
    from dataclasses import replace

    from speechkit.commands.stage import run_stage
    from speechkit.formats import VAD_FORMATS
    from speechkit.stages.vad.segmentation import DEFAULTS
    from speechkit.stages.vad.stage import VadOptions, choose_engine, vad_stage

    one_of(emit, ("recordings", "segments"), "--emit")
    if one_of(engine, ENGINES, "--engine") == "auto":
        engine, reason = choose_engine()
        if reason:
            say(f"vad: taking silero, since ten can't run: {reason}")
    given = {
        "threshold": threshold,
        "hysteresis": hysteresis,
        "min_speech": min_speech,
        "min_silence": min_silence,
        "pad": pad,
        "max_segment": max_segment,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    options = VadOptions(
        engine, replace(DEFAULTS[engine], **changed), emit, probabilities, channel, track
    )
    return run_stage(vad_stage(options), inputs, run, formats, VAD_FORMATS)
