"""The options that only speech-to-speech has."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from speechkit.commands.options import Option, one_of
from speechkit.errors import UsageError
from speechkit.io.audio_out import FORMATS

if TYPE_CHECKING:
    from speechkit.stages.s2s.stage import Speech


def given(flags: Any) -> list[str]:
    """The options of a group that were set, as on the command line."""
    names = [one.name for one in fields(flags) if getattr(flags, one.name) != one.default]
    return [f"--{name.replace('_', '-')}" for name in names]


UNITS = "Speech to units"
SPEECH = "Units to speech"
TRAINING = "Training a quantizer"
DURATIONS = ("predict", "keep")


@dataclass(frozen=True, slots=True)
class UnitFlags:
    """How speech becomes units."""

    model: Annotated[
        str | None,
        Option(
            metavar="PATH|ID",
            help="A HuBERT checkpoint of fairseq (.pt), or for transformers a folder, or a name on "
            "the Hugging Face hub, with HuBERT or WavLM.",
            rich_help_panel=UNITS,
        ),
    ] = None
    layer: Annotated[
        int | None,
        Option(
            min=1,
            metavar="N",
            help="The layer, from 1 on, whose features the quantizer is made for.",
            rich_help_panel=UNITS,
        ),
    ] = None
    quantizer: Annotated[
        Path | None,
        Option(
            metavar="FILE.npz",
            help="The centroids of a k-means (see convert-quantizer).",
            rich_help_panel=UNITS,
        ),
    ] = None
    keep_repeats: Annotated[
        bool,
        Option("--keep-repeats", help="Put out a unit for each frame.", rich_help_panel=UNITS),
    ] = False
    max_window: Annotated[
        float,
        Option(
            min=0.0,
            metavar="SECONDS",
            help="Longest audio the model is given at once; longer is cut, with 5 s of context on "
            "either side (100; WavLM 30).",
            rich_help_panel=UNITS,
        ),
    ] = 0.0
    compute_type: Annotated[
        str,
        Option(
            metavar="TYPE",
            help="float32, float16 or bfloat16; in float32 units don't depend on the device.",
            rich_help_panel=UNITS,
        ),
    ] = "float32"
    allow_reinit: Annotated[
        bool,
        Option(
            "--allow-reinit",
            help="Take random numbers for weights that don't fit the configuration.",
            rich_help_panel=UNITS,
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class SpeechFlags:
    """How units become speech."""

    vocoder: Annotated[
        Path | None,
        Option(metavar="FILE", help="A unit HiFi-GAN's checkpoint.", rich_help_panel=SPEECH),
    ] = None
    vocoder_config: Annotated[
        Path | None,
        Option(
            metavar="FILE.json",
            help="Its configuration; default: config.json beside it.",
            rich_help_panel=SPEECH,
        ),
    ] = None
    durations: Annotated[
        str | None,
        Option(
            metavar="predict|keep",
            help="Durations of units by the vocoder, or as they were; default: predict where it "
            "can.",
            rich_help_panel=SPEECH,
        ),
    ] = None
    speaker: Annotated[
        int | None,
        Option(min=0, metavar="N", help="Of a vocoder with several.", rich_help_panel=SPEECH),
    ] = None
    style: Annotated[
        int | None,
        Option(min=0, metavar="N", help="Of a vocoder with several.", rich_help_panel=SPEECH),
    ] = None
    audio_format: Annotated[
        str, Option(metavar="wav|flac", help="Of the speech made.", rich_help_panel=SPEECH)
    ] = "wav"
    audio_root: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="The folder whose tree --output-dir mirrors; default: what all input has in "
            "common.",
            rich_help_panel=SPEECH,
        ),
    ] = None

    def speech(self, folder: Path | None, sources: list[str]) -> Speech:
        """How speech is to be made. Raises `UsageError`."""
        from speechkit.stages.s2s.stage import Speech

        assert self.vocoder
        if folder is None:
            raise UsageError("the speech made needs a folder: --output-dir DIR")
        for source in map(Path, sources):
            if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
                raise UsageError(
                    f"--output-dir {folder}: lies in the input folder {source}, and would be input "
                    "itself the next time; name another"
                )
        return Speech(
            os.path.abspath(self.vocoder),  # noqa: PTH100
            os.path.abspath(self.vocoder_config or self.vocoder.with_name("config.json")),  # noqa: PTH100
            os.path.abspath(folder),  # noqa: PTH100
            one_of(self.audio_format, FORMATS, "--audio-format"),
            self.durations and one_of(self.durations, DURATIONS, "--durations"),
            self.speaker,
            self.style,
            None if self.audio_root is None else os.path.abspath(self.audio_root),  # noqa: PTH100
        )


@dataclass(frozen=True, slots=True)
class QuantizerFlags:
    """Instead of units: what makes them."""

    train_quantizer: Annotated[
        Path | None,
        Option(
            metavar="FILE.npz",
            help="Fit a k-means to the features of the input, and stop there.",
            rich_help_panel=TRAINING,
        ),
    ] = None
    clusters: Annotated[
        int, Option(min=1, metavar="N", help="Units it is to have.", rich_help_panel=TRAINING)
    ] = 100
    frames: Annotated[
        int,
        Option(
            min=1,
            metavar="N",
            help="Frames to fit it to at most, of utterances drawn from all of the input.",
            rich_help_panel=TRAINING,
        ),
    ] = 500_000
