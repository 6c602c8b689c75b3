"""Speech to units and units to speech, over any encoder and any unit vocoder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechkit.engines.encoders.features import Extractor, Features
from speechkit.engines.prefetch import prefetched
from speechkit.engines.protocols import DeviceUse
from speechkit.engines.s2s.options import S2sEngineOptions
from speechkit.engines.s2s.quantizer import Quantizer, runs
from speechkit.engines.s2s.vocoder import Build, Vocoder
from speechkit.engines.stopwatch import Stopwatch
from speechkit.engines.torch import device as torch_device
from speechkit.errors import UsageError, UtteranceError
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
        self._stopwatch = Stopwatch(lambda: torch_device.synchronize(self._device))
        self._extractor: Extractor | None = None
        self._quantizer: Quantizer | None = None
        self._vocoder: Vocoder | None = None
        self._speech: Generator[Waveform | UtteranceError, None, None] | None = None
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
                self._stopwatch,
                batch_size=options.batch_size,
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
        return [frames.float().cpu().numpy() for frames in self._features(waveforms)]

    def encode(self, waveforms: Sequence[Waveform]) -> list[Units]:
        assert self._quantizer
        features = self._features(waveforms)
        with self._stopwatch.part("quantizer"):
            queued = [self._quantizer(frames) for frames in features]  # on a GPU, then fetched
            return [_units(*runs(numbers.cpu().numpy())) for numbers in queued]

    def synthesise(
        self, units: Sequence[Units], *, predict: bool
    ) -> Iterator[Waveform | UtteranceError]:
        assert self._vocoder
        if self._speech:  # whose reader may have failed: two threads must not share the vocoder
            self._speech.close()
        self._speech = prefetched(self._vocoder.synthesise(units, predict=predict))
        return self._speech

    def device_use(self) -> DeviceUse:
        parts = dict(self._stopwatch.parts)
        batches = [part.batches.size for part in (self._extractor, self._vocoder) if part]
        return DeviceUse(
            str(self._device),
            torch_device.name(self._dtype),
            batches[0] if batches else 1,
            sum(parts.values()),
            tuple(self._extractor.encoder.reinitialised) if self._extractor else (),
            parts,
        )

    def _features(self, waveforms: Sequence[Waveform]) -> list[Tensor]:
        assert self._extractor
        with self._stopwatch.part("encoder"):
            return self._extractor.features(waveforms)


def _units(units: NDArray[np.int64], durations: NDArray[np.int64]) -> Units:
    return Units(tuple(units.tolist()), tuple(durations.tolist()))
