"""The options of speech-to-speech, except for those that its engines declare."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from speechkit.commands.options import in_section, require_choice
from speechkit.errors import UsageError
from speechkit.io.audio_out import FORMATS

if TYPE_CHECKING:
    from speechkit.stages.s2s.stage import Speech


def given(flags: Any) -> list[str]:
    """The options of a group that differ from their defaults, as on the command line."""
    names = [field.name for field in fields(flags) if getattr(flags, field.name) != field.default]
    return [f"--{name.replace('_', '-')}" for name in names]


UnitOption = in_section("Speech to units")
SpeechOption = in_section("Units to speech")
TrainingOption = in_section("Training a quantizer")
DURATIONS = ("predict", "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFlags:
    """The conversion of speech to units."""

    model: Annotated[
        str | None,
        UnitOption(
            metavar="PATH|ID",
            help="HuBERT checkpoint of fairseq (.pt); for the engine transformers also a folder "
            "or an id on the Hugging Face hub, with HuBERT or WavLM.",
        ),
    ] = None
    layer: Annotated[
        int | None,
        UnitOption(
            min=1,
            metavar="N",
            help="Layer whose features the quantizer was trained on, counted from 1.",
        ),
    ] = None
    quantizer: Annotated[
        Path | None,
        UnitOption(metavar="FILE.npz", help="Centroids of a k-means (see convert-quantizer)."),
    ] = None
    keep_repeats: Annotated[
        bool, UnitOption("--keep-repeats", help="Write a unit for every frame.")
    ] = False
    max_window: Annotated[
        float,
        UnitOption(
            min=0.0,
            metavar="SECONDS",
            show_default=False,
            help="Longest audio given to the model at once; longer audio is cut, with 5 s of "
            "context on either side. Default: 100 (WavLM: 30).",
        ),
    ] = 0.0
    compute_type: Annotated[
        str,
        UnitOption(
            metavar="TYPE",
            help="Precision: float32, float16 or bfloat16. Only in float32 do units not depend on "
            "the device.",
        ),
    ] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechFlags:
    """The conversion of units to speech."""

    vocoder: Annotated[
        Path | None, SpeechOption(metavar="FILE", help="Checkpoint of a unit HiFi-GAN.")
    ] = None
    vocoder_config: Annotated[
        Path | None,
        SpeechOption(
            metavar="FILE.json",
            help="Configuration of the vocoder. Default: config.json beside it.",
        ),
    ] = None
    durations: Annotated[
        str | None,
        SpeechOption(
            choices=DURATIONS,
            help="Durations of units: predict (by the vocoder) or keep (from the input). Default: "
            "predict if the vocoder can.",
        ),
    ] = None
    speaker: Annotated[
        int | None,
        SpeechOption(min=0, metavar="N", help="Speaker number, for a vocoder with several."),
    ] = None
    style: Annotated[
        int | None,
        SpeechOption(min=0, metavar="N", help="Style number, for a vocoder with several."),
    ] = None
    audio_format: Annotated[
        str, SpeechOption(choices=FORMATS, help="Format of the speech files.")
    ] = "wav"
    audio_root: Annotated[
        Path | None,
        SpeechOption(
            metavar="DIR",
            help="Folder whose tree --output-dir mirrors. Default: the folder that all input has "
            "in common.",
        ),
    ] = None

    def speech(self, folder: Path | None, sources: list[str]) -> Speech:
        """Return the options for speech. Raises `UsageError`."""
        from speechkit.stages.s2s.stage import Speech

        assert self.vocoder
        if folder is None:
            raise UsageError("--output-dir: needed for the speech files")
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
            form=require_choice(self.audio_format, FORMATS, "--audio-format"),
            durations=self.durations and require_choice(self.durations, DURATIONS, "--durations"),
            speaker=self.speaker,
            style=self.style,
            audio_root=None if self.audio_root is None else os.path.abspath(self.audio_root),  # noqa: PTH100
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizerFlags:
    """The training of a quantizer."""

    train_quantizer: Annotated[
        Path | None,
        TrainingOption(
            metavar="FILE.npz",
            help="Fit a k-means to the features of the input, write it to this file, and stop "
            "there.",
        ),
    ] = None
    clusters: Annotated[int, TrainingOption(min=1, metavar="N", help="Number of units.")] = 100
    frames: Annotated[
        int,
        TrainingOption(
            min=1,
            metavar="N",
            help="Frames to fit the k-means to, at most, from utterances drawn from the whole "
            "input.",
        ),
    ] = 500_000
