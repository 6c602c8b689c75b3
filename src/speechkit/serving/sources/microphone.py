"""A microphone, by PortAudio."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from speechkit.errors import EngineMissing, SourceFailed, UsageError
from speechkit.serving.sources.conversion import Conversion
from speechkit.serving.sources.source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speechkit.engines.protocols import Waveform

BLOCK = 0.05  # seconds
GONE = 3.0  # seconds without a sample after which a microphone is gone


class Microphone(Source):
    """The system's default input, or the one of a name (or a part of it) or a number.

    It records from the first block on, as long as the blocks are taken. Raise `EngineMissing`
    where sounddevice or PortAudio is missing, `UsageError` where there is no such input.
    """

    is_live = True

    def __init__(self, device: str | None, channels: int | None) -> None:
        self.name = f"microphone {device}" if device else "microphone"
        self.remarks: deque[str] = deque()
        self._has_lost = False
        self._library = _sounddevice()
        self._device = int(device) if device and device.isdecimal() else device
        try:
            about = self._library.query_devices(self._device, "input")
        except (ValueError, self._library.PortAudioError) as e:
            raise UsageError(f"{self.name}: no such input; {self._inputs()}") from e
        self._rate = round(about["default_samplerate"])
        self._channels = channels or min(2, about["max_input_channels"])

    def blocks(self) -> Iterator[Waveform]:
        return Conversion(self.name, self._rate, self.remarks).waveform(self._recorded())

    def _recorded(self) -> Iterator[NDArray[np.float32]]:
        """Blocks ``[frames, channels]``. Raise `SourceFailed` where no more come."""
        recorded: queue.SimpleQueue[NDArray[np.float32]] = queue.SimpleQueue()

        def record(block: NDArray[np.float32], frames: int, time: Any, status: Any) -> None:
            if status.input_overflow and not self._has_lost:
                self._has_lost = True
                self.remarks.append(f"{self.name}: loses samples, as the machine is too busy")
            recorded.put(block.copy())

        try:
            with self._library.InputStream(
                device=self._device,
                samplerate=self._rate,
                channels=self._channels,
                blocksize=round(BLOCK * self._rate),
                dtype="float32",
                latency="high",
                callback=record,
            ):
                while True:
                    yield recorded.get(timeout=GONE)
        except queue.Empty as e:
            raise SourceFailed(
                f"{self.name}: has given no sound for {GONE:g} s; is it still plugged in?"
            ) from e
        except self._library.PortAudioError as e:
            raise SourceFailed(f"{self.name}: can't be recorded: {e.args[0]}") from e

    def _inputs(self) -> str:
        names = [
            f"{number} {device['name']}"
            for number, device in enumerate(self._library.query_devices())
            if device["max_input_channels"]
        ]
        return f"there are: {', '.join(names)}" if names else "this machine has none"


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as e:
        raise EngineMissing(
            "The microphone needs sounddevice: run `pip install 'speechkit[microphone]'`."
        ) from e
    except OSError as e:
        raise EngineMissing(
            "The microphone needs PortAudio: on Debian run `sudo apt-get install libportaudio2`."
        ) from e
    return sounddevice
