"""Speech to units and units to speech, over any encoder and any unit vocoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit.engines.encoders.features import Extractor, Features
from speechkit.engines.protocols import DeviceUse
from speechkit.engines.s2s.options import S2sEngineOptions
from speechkit.engines.s2s.quantizer import Quantizer, runs
from speechkit.engines.s2s.vocoder import Build, Vocoder
from speechkit.engines.torch import device as torch_device
from speechkit.errors import UsageError
from speechkit.records import Units

if TYPE_CHECKING:
    from speechkit.engines.protocols import Waveform

#: Builds an encoder from a model, a layer, a device and a precision.
Encode = Callable[[Path, int, torch.device, torch.dtype], Features]


class SpeechToSpeech:
    """An `S2sEngine`."""

    def __init__(self, name: str, encode: Encode, build: Build, options: S2sEngineOptions) -> None:
        self._device = torch_device.device(options.device, name)
        self._dtype = torch_device.dtype(options.compute_type, self._device, name)
        self._extractor: Extractor | None = None
        self._quantizer: Quantizer | None = None
        self._vocoder: Vocoder | None = None
        if options.model and options.layer:
            encoder = encode(Path(options.model), options.layer, self._device, self._dtype)
            self._extractor = Extractor(
                encoder, self._device, options.batch_size, options.max_window
            )
            if options.quantizer:
                self._quantizer = Quantizer.load(
                    Path(options.quantizer), encoder.width, self._device
                )
        if options.vocoder:
            self._vocoder = Vocoder(
                Path(options.vocoder),
                Path(options.vocoder_config or Path(options.vocoder).with_name("config.json")),
                self._device,
                build,
                speaker=options.speaker,
                style=options.style,
            )
            if self._quantizer and self._quantizer.units > self._vocoder.units:
                raise UsageError(
                    f"--quantizer makes {self._quantizer.units} units, --vocoder knows "
                    f"{self._vocoder.units}: they don't belong together"
                )

    @property
    def shortest(self) -> int:
        return self._extractor.frames.field if self._extractor else 0

    @property
    def sample_rate(self) -> int:
        assert self._vocoder
        return self._vocoder.sample_rate

    @property
    def predicts_durations(self) -> bool:
        return self._vocoder is not None and self._vocoder.predicts_durations

    def features(self, waveforms: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        assert self._extractor
        return [frames.float().cpu().numpy() for frames in self._extractor.features(waveforms)]

    def encode(self, waveforms: Sequence[Waveform]) -> list[Units]:
        assert self._extractor
        assert self._quantizer
        quantized = map(self._quantizer, self._extractor.features(waveforms))
        return [_units(*runs(units.cpu().numpy())) for units in quantized]

    def synthesise(self, units: Units, *, predict: bool) -> Waveform:
        assert self._vocoder
        numbers = np.array(units.units, dtype=np.int64)
        frames = np.array(units.durations, dtype=np.int64)
        self._vocoder.require_units(numbers)
        if predict:
            numbers, _ = runs(np.repeat(numbers, frames))
            frames = self._vocoder.predicted(numbers)
        return self._vocoder.synthesise(np.repeat(numbers, frames))

    def device_use(self) -> DeviceUse:
        encoding = self._extractor.seconds if self._extractor else 0.0
        speaking = self._vocoder.seconds if self._vocoder else 0.0
        return DeviceUse(
            str(self._device),
            torch_device.name(self._dtype),
            self._extractor.batch.size if self._extractor else 1,
            encoding + speaking,
            tuple(self._extractor.encoder.reinitialised) if self._extractor else (),
        )


def _units(units: NDArray[np.int64], durations: NDArray[np.int64]) -> Units:
    return Units(tuple(units.tolist()), tuple(durations.tolist()))
