"""The options that only speech-to-speech has; those of its engines are theirs."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from speechkit.commands.options import in_section, one_of
from speechkit.errors import UsageError
from speechkit.io.audio_out import FORMATS

if TYPE_CHECKING:
    from speechkit.stages.s2s.stage import Speech


def given(flags: Any) -> list[str]:
    """The options of a group that were set, as on the command line."""
    names = [one.name for one in fields(flags) if getattr(flags, one.name) != one.default]
    return [f"--{name.replace('_', '-')}" for name in names]


UnitOption = in_section("Speech to units")
SpeechOption = in_section("Units to speech")
TrainingOption = in_section("Training a quantizer")
DURATIONS = ("predict", "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFlags:
    """How speech becomes units."""

    model: Annotated[
        str | None,
        UnitOption(
            metavar="PATH|ID",
            help="A HuBERT checkpoint of fairseq (.pt); for the engine transformers also a folder "
            "or a name on the Hugging Face hub, of HuBERT or WavLM.",
        ),
    ] = None
    layer: Annotated[
        int | None,
        UnitOption(
            min=1,
            metavar="N",
            help="The layer, counted from 1, whose features the quantizer was trained on.",
        ),
    ] = None
    quantizer: Annotated[
        Path | None,
        UnitOption(metavar="FILE.npz", help="The centroids of a k-means (see convert-quantizer)."),
    ] = None
    keep_repeats: Annotated[
        bool, UnitOption("--keep-repeats", help="Write one unit for each frame.")
    ] = False
    max_window: Annotated[
        float,
        UnitOption(
            min=0.0,
            metavar="SECONDS",
            show_default=False,
            help="Longest audio the model is given at once; longer audio is cut, with 5 s of "
            "context on either side. Default: 100; for WavLM 30.",
        ),
    ] = 0.0
    compute_type: Annotated[
        str,
        UnitOption(
            metavar="TYPE",
            help="float32, float16 or bfloat16; in float32 units don't depend on the device.",
        ),
    ] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechFlags:
    """How units become speech."""

    vocoder: Annotated[
        Path | None, SpeechOption(metavar="FILE", help="The checkpoint of a unit HiFi-GAN.")
    ] = None
    vocoder_config: Annotated[
        Path | None,
        SpeechOption(
            metavar="FILE.json", help="Its configuration. Default: config.json beside it."
        ),
    ] = None
    durations: Annotated[
        str | None,
        SpeechOption(
            choices=DURATIONS,
            help="Let the vocoder predict the durations of units, or keep theirs. Default: "
            "predict, where the vocoder can.",
        ),
    ] = None
    speaker: Annotated[
        int | None,
        SpeechOption(min=0, metavar="N", help="The voice, of a vocoder with several."),
    ] = None
    style: Annotated[
        int | None,
        SpeechOption(min=0, metavar="N", help="The style, of a vocoder with several."),
    ] = None
    audio_format: Annotated[
        str, SpeechOption(choices=FORMATS, help="The format of the speech files.")
    ] = "wav"
    audio_root: Annotated[
        Path | None,
        SpeechOption(
            metavar="DIR",
            help="The folder whose tree --output-dir mirrors. Default: the folder that all input "
            "has in common.",
        ),
    ] = None

    def speech(self, folder: Path | None, sources: list[str]) -> Speech:
        """The speech to make. Raises `UsageError`."""
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
            vocoder=os.path.abspath(self.vocoder),  # noqa: PTH100
            vocoder_config=os.path.abspath(  # noqa: PTH100
                self.vocoder_config or self.vocoder.with_name("config.json")
            ),
            folder=os.path.abspath(folder),  # noqa: PTH100
            form=one_of(self.audio_format, FORMATS, "--audio-format"),
            durations=self.durations and one_of(self.durations, DURATIONS, "--durations"),
            speaker=self.speaker,
            style=self.style,
            audio_root=None if self.audio_root is None else os.path.abspath(self.audio_root),  # noqa: PTH100
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizerFlags:
    """A quantizer to train, instead of units to make."""

    train_quantizer: Annotated[
        Path | None,
        TrainingOption(
            metavar="FILE.npz",
            help="Fit a k-means to the features of the input, write it, and stop.",
        ),
    ] = None
    clusters: Annotated[int, TrainingOption(min=1, metavar="N", help="The number of units.")] = 100
    frames: Annotated[
        int,
        TrainingOption(
            min=1,
            metavar="N",
            help="The most frames to fit it to, of utterances drawn from all of the input.",
        ),
    ] = 500_000
