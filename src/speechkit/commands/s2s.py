from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

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
from speechkit.commands.s2s_options import QuantizerFlags, SpeechFlags, UnitFlags, given
from speechkit.engines import registry
from speechkit.errors import UsageError

HalfOption = in_section("Either half alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionFlags:
    """The engine, and the half that runs if not both."""

    engine: Annotated[
        str,
        EngineOption(
            choices=registry.names("s2s"),
            help="Engine: transformers, or the original code of fairseq or textless (textlesslib).",
        ),
    ] = registry.default("s2s")
    units_only: Annotated[
        bool, HalfOption("--units-only", help="Convert speech to units, and stop there.")
    ] = False
    from_units: Annotated[
        bool,
        HalfOption(
            "--from-units",
            help="Convert units to speech. The input is manifests with units, or lines such as "
            "name|71 12 4.",
        ),
    ] = False


@takes(
    direction=DirectionFlags,
    audio=AudioFlags,
    run=RunFlags,
    units=UnitFlags,
    speech=SpeechFlags,
    quantizer=QuantizerFlags,
    formats=format_flags("s2s"),
    engine_options=EngineGroup("s2s"),
    device=DeviceFlags,
)
def s2s(
    inputs: InputsArgument,
    *,
    direction: DirectionFlags,
    audio: AudioFlags,
    units: UnitFlags,
    speech: SpeechFlags,
    quantizer: QuantizerFlags,
    engine_options: Mapping[str, Any],
    device: DeviceFlags,
    formats: FormatFlags,
    run: RunFlags,
) -> int:
    """Convert speech to discrete units and back to speech, or do either half.

    HuBERT and k-means turn speech into units; a unit HiFi-GAN turns units into speech.

    Example: speechkit s2s talks/ --model hubert.pt --layer 6 --quantizer km.npz --vocoder g.pt
    --output-dir resynthesised
    """
    from speechkit.commands import train_quantizer
    from speechkit.commands.run_stage import run_stage
    from speechkit.stages.s2s.stage import S2sOptions, s2s_stage

    hardware = device.hardware()
    mode = _Mode(direction.units_only, direction.from_units, quantizer.train_quantizer is not None)
    _require_units(units, engine_options, mode)
    _require_speech(speech, mode)
    _require_effect(quantizer, formats, run, mode)
    if mode.training and device.devices:
        raise UsageError("--devices: --train-quantizer runs on one (--device)")
    if mode.from_units and given(audio):
        raise UsageError(f"{', '.join(given(audio))}: not needed with --from-units")
    options = S2sOptions(
        engine=direction.engine,
        model=units.model,
        layer=units.layer,
        quantizer=os.path.abspath(units.quantizer) if units.quantizer else None,  # noqa: PTH100
        speech=speech.speech(formats.output_dir, inputs) if mode.speaks else None,
        keep_repeats=units.keep_repeats,
        max_window=units.max_window,
        compute_type=units.compute_type,
        channel=audio.channel,
        track=audio.track,
        engine_options=engine_options,
    )
    if mode.training:
        return train_quantizer.train(options, hardware, quantizer, inputs, run)
    return run_stage(s2s_stage(options, hardware), inputs, run, formats)


WAYS_OUT = "--units-only stops at units, --from-units begins with them"


@dataclass(frozen=True, slots=True)
class _Mode:
    """The halves to run. Raises `UsageError` for contradictions."""

    units_only: bool
    from_units: bool
    training: bool

    def __post_init__(self) -> None:
        if self.units_only + self.from_units + self.training > 1:
            raise UsageError("--units-only, --from-units and --train-quantizer exclude each other")

    @property
    def speaks(self) -> bool:
        return not (self.units_only or self.training)


def _require_units(units: UnitFlags, engine_options: Mapping[str, Any], mode: _Mode) -> None:
    """Raises `UsageError` if an option for units is missing, or has no effect."""
    if not (units.max_window == 0 or units.max_window >= 1):
        raise UsageError(f"--max-window {units.max_window:g}: 1 second at least")
    if mode.from_units:
        idle = given(units) + [f"--{name.replace('_', '-')}" for name in engine_options]
        if idle:
            raise UsageError(f"{', '.join(idle)}: not needed with --from-units")
        return
    if mode.training and units.quantizer:
        raise UsageError("--quantizer: not with --train-quantizer, which makes one")
    if missing := [*_missing(units, mode)]:
        raise UsageError(f"{', '.join(missing)}: needed to make units ({WAYS_OUT})")


def _missing(units: UnitFlags, mode: _Mode) -> Iterator[str]:
    for name in ("model", "layer", "quantizer"):
        if getattr(units, name) is None and not (mode.training and name == "quantizer"):
            yield f"--{name}"


def _require_speech(speech: SpeechFlags, mode: _Mode) -> None:
    """Raises `UsageError` if the vocoder is missing, or an option for speech has no effect."""
    if mode.speaks and not speech.vocoder:
        raise UsageError(f"--vocoder: needed to make speech ({WAYS_OUT})")
    if not mode.speaks and given(speech):
        raise UsageError(f"{', '.join(given(speech))}: not needed where no speech is made")


def _require_effect(
    quantizer: QuantizerFlags, formats: FormatFlags, run: RunFlags, mode: _Mode
) -> None:
    """Raises `UsageError` for options that would have no effect."""
    if mode.from_units and formats.format:
        raise UsageError("--format: not with --from-units, which makes no units")
    if not mode.training and given(quantizer):
        raise UsageError(f"{', '.join(given(quantizer))}: needs --train-quantizer")
    idle = [name for name in given(run) if name in ("--output", "--retry-failed", "--workers")]
    idle += given(formats)
    if mode.training and idle:
        raise UsageError(f"{', '.join(idle)}: not with --train-quantizer, which writes one file")
