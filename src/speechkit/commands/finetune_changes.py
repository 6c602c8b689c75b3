"""The options of a training that change its weights' form and its audio: LoRA, augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from speechkit.commands.options import in_section
from speechkit.engines.finetune.protocol import LoraOptions
from speechkit.errors import UsageError
from speechkit.training.options import Augmentation

LoraOption = in_section("Low-rank adapters (LoRA)")
AugmentationOption = in_section("Augmentation, drawn anew whenever an utterance is used")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFlags:
    """Adapters instead of all weights."""

    lora: Annotated[
        int | None,
        LoraOption(
            min=1,
            metavar="RANK",
            help="Train adapters of this rank instead of all weights. The result is an ordinary "
            "model: they are merged into it.",
        ),
    ] = None
    lora_alpha: Annotated[
        float | None,
        LoraOption(min=0.0, metavar="ALPHA", help="Their scale. Default: twice the rank."),
    ] = None
    lora_dropout: Annotated[
        float | None,
        LoraOption(min=0.0, max=0.99, metavar="P", help="Their dropout. Default: 0."),
    ] = None
    lora_targets: Annotated[
        str | None,
        LoraOption(
            metavar="NAMES",
            help="Linear layers that get one, with commas: q_proj, k_proj, v_proj, out_proj, fc1, "
            "fc2. Default: q_proj,v_proj.",
        ),
    ] = None

    def options(self) -> LoraOptions | None:
        """Raise `UsageError`."""
        further = {
            "--lora-alpha": self.lora_alpha,
            "--lora-dropout": self.lora_dropout,
            "--lora-targets": self.lora_targets,
        }
        if self.lora is None:
            if given := [name for name, value in further.items() if value is not None]:
                raise UsageError(f"{', '.join(given)}: only with --lora RANK")
            return None
        targets = {}
        if self.lora_targets is not None:
            names = tuple(name.strip() for name in self.lora_targets.split(","))
            if not all(names):
                raise UsageError(
                    f"--lora-targets {self.lora_targets}: names of layers with commas between "
                    "them, as q_proj,v_proj"
                )
            targets["targets"] = names
        alpha = 2.0 * self.lora if self.lora_alpha is None else self.lora_alpha
        dropout = self.lora_dropout or 0.0
        return LoraOptions(rank=self.lora, alpha=alpha, dropout=dropout, **targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationFlags:
    """Changes of the audio by chance."""

    spec_augment: Annotated[
        bool,
        AugmentationOption(
            "--spec-augment", help="Mask bands and stretches of the features (SpecAugment)."
        ),
    ] = False
    speed: Annotated[
        float,
        AugmentationOption(
            min=0.0, metavar="SHARE", help="Largest change of speed: 0.1 for 0.9 to 1.1 times."
        ),
    ] = 0.0
    gain: Annotated[
        float, AugmentationOption(min=0.0, metavar="DB", help="Largest change of loudness.")
    ] = 0.0
    noise: Annotated[
        Path | None, AugmentationOption(metavar="DIR", help="Folder of noise to add.")
    ] = None
    snr: Annotated[
        str | None,
        AugmentationOption(
            metavar="LOW,HIGH", help="Speech above the noise, in dB. Default: 5,25."
        ),
    ] = None

    def options(self) -> Augmentation:
        """Raise `UsageError`."""
        snr = {}
        if self.snr is not None:
            if self.noise is None:
                raise UsageError("--snr: only with --noise DIR")
            snr["snr"] = self._snr(self.snr)
        return Augmentation(
            speed=self.speed,
            gain=self.gain,
            noise=self.noise,
            spec_augment=self.spec_augment,
            **snr,
        )

    def _snr(self, text: str) -> tuple[float, float]:
        try:
            low, high = map(float, text.split(","))
        except ValueError:
            low, high = 1.0, 0.0
        if low > high:
            raise UsageError(f"--snr {text}: two numbers, the lower one first, as 5,25")
        return low, high
