"""The options of engines that run on a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speechkit.commands.options import in_section
from speechkit.errors import UsageError
from speechkit.io.hardware import visible_gpus

if TYPE_CHECKING:
    from speechkit.runtime.worker_plan import Hardware

DeviceOption = in_section("Device")
ModelFilesOption = in_section("Engine and model")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFlags:
    """The device of an engine, and the places of its models."""

    device: Annotated[
        str,
        DeviceOption(
            metavar="auto|cpu|cuda:0|mps",
            help="Device of the engine. auto: a GPU if there is one.",
            envvar="SPEECHKIT_DEVICE",
        ),
    ] = "auto"
    devices: Annotated[
        str | None,
        DeviceOption(
            metavar="0,1,2,3",
            help="GPUs to use, with one worker process each. Default: one GPU.",
            envvar="SPEECHKIT_DEVICES",
        ),
    ] = None
    batch_size: Annotated[
        str,
        DeviceOption(
            metavar="N|auto",
            help="Windows computed at once. Halved if memory runs out.",
        ),
    ] = "auto"
    offline: Annotated[
        bool,
        ModelFilesOption(
            "--offline",
            help="Use only models from folders and the cache; never ask the hub.",
            envvar="SPEECHKIT_OFFLINE",
        ),
    ] = False
    copy_models_to: Annotated[
        Path | None,
        ModelFilesOption(
            metavar="DIR",
            help="Copy the model to this folder on the machine's own disk, once, and load it from "
            "there.",
            envvar="SPEECHKIT_COPY_MODELS_TO",
        ),
    ] = None

    def hardware(self) -> Hardware:
        """Return the hardware that the options describe. Raises `UsageError`."""
        from speechkit.runtime.worker_plan import Hardware

        gpus = self._gpus()
        return Hardware(
            device="cuda" if gpus else self.device,
            batch_size=self._batch(),
            offline=self.offline,
            gpus=gpus,
            model_copies=self.copy_models_to,
        )

    def _gpus(self) -> tuple[str, ...]:
        """The GPUs as CUDA_VISIBLE_DEVICES names them.

        If that is set, ``--devices`` counts its entries, from 0. Raises `UsageError`.
        """
        if self.devices is None:
            return ()
        numbers = self.devices.split(",")
        if not all(number.isdecimal() for number in numbers) or len({*numbers}) < len(numbers):
            raise UsageError(f"--devices {self.devices}: numbers of GPUs, each once, as 0,1,2,3")
        if self.device != "auto":
            raise UsageError("--device and --devices exclude each other")
        visible = visible_gpus()
        if visible is None:
            return tuple(numbers)
        if max(map(int, numbers)) >= len(visible):
            raise UsageError(
                f"--devices {self.devices}: CUDA_VISIBLE_DEVICES grants {len(visible)}, from 0 on"
            )
        return tuple(visible[int(number)] for number in numbers)

    def _batch(self) -> int:
        """The batch size in windows, 0 for auto. Raises `UsageError`."""
        if self.batch_size == "auto":
            return 0
        if not self.batch_size.isdecimal() or int(self.batch_size) < 1:
            raise UsageError(f"--batch-size {self.batch_size}: a number from 1 on, or auto")
        return int(self.batch_size)
