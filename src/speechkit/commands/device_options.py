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
    """Where an engine runs; changes no result."""

    device: Annotated[
        str,
        DeviceOption(
            metavar="auto|cpu|cuda:0|mps",
            help="auto: a GPU where there is one.",
            envvar="SPEECHKIT_DEVICE",
        ),
    ] = "auto"
    devices: Annotated[
        str | None,
        DeviceOption(
            metavar="0,1,2,3",
            help="These GPUs, each with a worker process of its own. Default: one GPU.",
            envvar="SPEECHKIT_DEVICES",
        ),
    ] = None
    batch_size: Annotated[
        str,
        DeviceOption(
            metavar="N|auto",
            help="Windows computed at once; halved where memory runs out.",
        ),
    ] = "auto"
    offline: Annotated[
        bool,
        ModelFilesOption(
            "--offline",
            help="Take models only from folders and the cache.",
            envvar="SPEECHKIT_OFFLINE",
        ),
    ] = False
    copy_models_to: Annotated[
        Path | None,
        ModelFilesOption(
            metavar="DIR",
            help="Load models from a copy in this folder of the machine's own disk; the first "
            "process to need one makes it.",
            envvar="SPEECHKIT_COPY_MODELS_TO",
        ),
    ] = None

    def hardware(self) -> Hardware:
        """Raises `UsageError`."""
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
        """As CUDA_VISIBLE_DEVICES names them, whose first is number 0 where it is set."""
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
        """The number, 0 for auto. Raises `UsageError`."""
        if self.batch_size == "auto":
            return 0
        if not self.batch_size.isdecimal() or int(self.batch_size) < 1:
            raise UsageError(f"--batch-size {self.batch_size}: a number from 1 on, or auto")
        return int(self.batch_size)
