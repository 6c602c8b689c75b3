from __future__ import annotations

import os
from typing import Annotated

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
from speechkit.commands.s2s_options import QuantizerFlags, SpeechFlags, UnitFlags, given
from speechkit.errors import UsageError


@takes(
    units=UnitFlags,
    speech=SpeechFlags,
    quantizer=QuantizerFlags,
    device=DeviceFlags,
    formats=FormatFlags,
    run=RunFlags,
)
def s2s(
    inputs: InputsArgument,
    engine: Annotated[
        str,
        Option(help="transformers, or the original code: fairseq, textless (textlesslib)."),
    ] = "transformers",
    units_only: Annotated[
        bool, Option("--units-only", help="Speech to units; no audio is made.")
    ] = False,
    from_units: Annotated[
        bool,
        Option(
            "--from-units",
            help="Units to speech: the input is manifests with units, or text (name|71 12 4).",
        ),
    ] = False,
    channel: ChannelOption = None,
    track: TrackOption = None,
    *,
    units: UnitFlags,
    speech: SpeechFlags,
    quantizer: QuantizerFlags,
    device: DeviceFlags,
    formats: FormatFlags,
    run: RunFlags,
) -> int:
    """Speech to discrete units (HuBERT and k-means) to speech (a unit HiFi-GAN), or either half.

    Example: speechkit s2s talks/ --model hubert.pt --layer 6 --quantizer km.npz --vocoder g.pt
    --output-dir resynthesised
    """
    from speechkit.commands import train_quantizer
    from speechkit.commands.stage import run_stage
    from speechkit.formats import S2S_FORMATS
    from speechkit.stages.s2s.stage import S2sOptions, s2s_stage

    hardware = device.hardware()
    training = quantizer.train_quantizer is not None
    _require_halves(units, speech, units_only=units_only, from_units=from_units, training=training)
    _require_effect(quantizer, formats, run, from_units=from_units, training=training)
    if training and device.devices:
        raise UsageError("--devices: --train-quantizer runs on one (--device)")
    for flag, value in (("channel", channel), ("track", track)):
        if from_units and value:
            raise UsageError(f"--{flag}: not needed with --from-units")
    options = S2sOptions(
        engine,
        units.model,
        units.layer,
        os.path.abspath(units.quantizer) if units.quantizer else None,  # noqa: PTH100
        None if units_only or training else speech.speech(formats.output_dir, inputs),
        units.keep_repeats,
        units.max_window,
        units.compute_type,
        units.allow_reinit,
        channel,
        track,
    )
    if training:
        return train_quantizer.train(options, hardware, quantizer, inputs, run)
    return run_stage(s2s_stage(options, hardware), inputs, run, formats, S2S_FORMATS)


def _require_halves(
    units: UnitFlags, speech: SpeechFlags, *, units_only: bool, from_units: bool, training: bool
) -> None:
    """Raises `UsageError` where a half's parts are not all there, or have nothing to do."""
    if sum((units_only, from_units, training)) > 1:
        raise UsageError("--units-only, --from-units and --train-quantizer exclude each other")
    ways_out = "--units-only stops at units, --from-units begins with them"
    if not (units.max_window == 0 or units.max_window >= 1):
        raise UsageError(f"--max-window {units.max_window:g}: 1 second at least")
    parts = {"--model": units.model, "--layer": units.layer, "--quantizer": units.quantizer}
    lacks = [name for name, value in parts.items() if value is None]
    if from_units and given(units):
        raise UsageError(f"{', '.join(given(units))}: not needed with --from-units")
    if training and units.quantizer:
        raise UsageError("--quantizer: is what --train-quantizer makes")
    if training:
        lacks.remove("--quantizer")
    if lacks and not from_units:
        raise UsageError(f"{', '.join(lacks)}: needed to make units ({ways_out})")
    if (units_only or training) and given(speech):
        raise UsageError(f"{', '.join(given(speech))}: not needed where no speech is made")
    if not (units_only or training) and not speech.vocoder:
        raise UsageError(f"--vocoder: needed to make speech ({ways_out})")


def _require_effect(
    quantizer: QuantizerFlags,
    formats: FormatFlags,
    run: RunFlags,
    *,
    from_units: bool,
    training: bool,
) -> None:
    """Raises `UsageError` for options that would be passed over."""
    if from_units and formats.format:
        raise UsageError("--format: is for the units made, not with --from-units")
    if not training and given(quantizer):
        raise UsageError(f"{', '.join(given(quantizer))}: needs --train-quantizer")
    idle = [name for name in given(run) if name in ("--output", "--retry-failed", "--workers")]
    idle += given(formats)
    if training and idle:
        raise UsageError(f"{', '.join(idle)}: not with --train-quantizer, which writes one file")
