"""NeMo's models: CTC, transducers (RNN-T, TDT), hybrids, and attention decoders such as Canary.

A model gets mono waveforms of a safe length, and never a file of the user's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr
import torch

from speechkit.engines.asr.nemo import NemoOptions, checkpoint, loaders, prompts, timestamps
from speechkit.engines.batch_size import BatchSize
from speechkit.engines.protocols import SAMPLE_RATE, AsrEngine, DeviceUse
from speechkit.engines.torch import device as torch_device
from speechkit.records import Hypothesis

if TYPE_CHECKING:
    from speechkit.engines.protocols import Clip, Waveform

# Shorter windows are padded with silence.
LEAST = 0.02  # seconds; below two frames NeMo's normalisation fails
LEAST_ATTENDED = 1.0  # seconds, for attention decoders, as in NeMo itself


class Nemo(AsrEngine):
    """An AsrEngine."""

    least_window = 0.0

    def __init__(self, options: NemoOptions) -> None:
        self.max_window = options.max_window
        self._device = torch_device.device(options.device, "nemo")
        self._dtype = torch_device.dtype(options.compute_type, self._device, "nemo")
        self._model = checkpoint.restore(Path(options.model), self._device)
        prompts.require_known(self._model, options.language, options.dataloader)
        self._attends = prompts.is_attention_decoder(self._model)
        self._rate = checkpoint.sample_rate(self._model)
        self._language = options.language
        asked = options.words or options.chars
        self._timestamps = asked or (options.timestamps and not self._attends)
        checkpoint.set_decoding(
            self._model, timestamps=self._timestamps, cuda_graphs=options.cuda_graphs
        )
        self._load = loaders.LOADERS[options.dataloader]
        self._batch = BatchSize(
            options.batch_size or self._batch_size(),
            torch_device.out_of_memory,
            lambda: torch_device.free_memory(self._device),
        )
        self._seconds = 0.0

    def device_use(self) -> DeviceUse:
        return DeviceUse(
            str(self._device), torch_device.name(self._dtype), self._batch.size, self._seconds
        )

    def transcribe(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Hypothesis]]:
        for group in self._groups(utterances):
            began = time.monotonic()
            windows = [clip.waveform for clips in group for clip in clips]
            hypotheses = iter(self._in_batches(windows))
            self._seconds += time.monotonic() - began
            for clips in group:
                yield [next(hypotheses) for _ in clips]

    def _groups(self, utterances: Iterable[Sequence[Clip]]) -> Iterator[list[Sequence[Clip]]]:
        """The utterances that fill a batch, or one that fills several."""
        group: list[Sequence[Clip]] = []
        for clips in utterances:
            group.append(clips)
            if sum(map(len, group)) >= self._batch.size:
                yield group
                group = []
        if group:
            yield group

    def _in_batches(self, windows: Sequence[Waveform]) -> list[Hypothesis]:
        """Decode batches of windows of similar length, which need little padding."""
        by_length = sorted(range(len(windows)), key=lambda index: len(windows[index]), reverse=True)
        decoded = self._batch.map_halving([windows[index] for index in by_length], self._decode)
        in_order = sorted(zip(by_length, decoded, strict=True), key=lambda pair: pair[0])
        return [hypothesis for _, hypothesis in in_order]

    def _decode(self, windows: Sequence[Waveform]) -> list[Hypothesis]:
        config = loaders.transcribe_config(self._model, len(windows), hypotheses=self._timestamps)
        writes_times = self._timestamps and not prompts.has_aligner(self._model)
        prompts.tell(self._model, config, self._language, times=writes_times)
        options = {"timestamps": self._timestamps or None} if self._attends else {}
        is_lowered = self._dtype != torch.float32
        with (
            self._load([self._prepared(window) for window in windows], self._rate, config) as audio,
            torch.autocast(self._device.type, self._dtype, enabled=is_lowered),
        ):
            outputs = self._model.transcribe(audio, override_config=config, **options)
        if len(outputs) != len(windows):
            raise RuntimeError(f"NeMo gave {len(outputs)} transcripts of {len(windows)} windows")
        stride = checkpoint.seconds_a_frame(self._model)
        return [
            timestamps.hypothesis(
                output,
                len(window) / SAMPLE_RATE,
                stride if self._timestamps else None,
                self._language,
            )
            for output, window in zip(outputs, windows, strict=True)
        ]

    def _prepared(self, window: Waveform) -> Waveform:
        """The window at the model's sample rate, padded if too short."""
        if self._rate != SAMPLE_RATE:
            window = soxr.resample(window, SAMPLE_RATE, self._rate)
        least = LEAST_ATTENDED if self._attends else LEAST
        window = np.pad(window, (0, max(0, round(least * self._rate) - len(window))))
        return np.ascontiguousarray(window, dtype=np.float32)

    def _batch_size(self) -> int:
        """The number of windows, from the bytes of a full one at the encoder's widest layer."""
        encoder = self._model.cfg.encoder
        frames = self.max_window / checkpoint.seconds_a_frame(self._model)
        width = int(encoder.get("d_model", 512))
        layer = frames * 32 * width + 3 * int(encoder.get("n_heads", 8)) * frames**2
        channels = int(encoder.get("subsampling_conv_channels", -1))
        mels = int(encoder.get("feat_in", 80))
        # The first convolution halves the mel frames, of which there are 100 a second, and bands.
        entry = 2 * (width if channels < 0 else channels) * (50 * self.max_window) * (mels / 2)
        return torch_device.batch_size(self._device, int(4 * max(layer, entry)))
